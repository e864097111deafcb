#include "netif/vip.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "netif/vip_priv.h"

static const struct {
	enum netif_vmac_mode mode;
	const char *name;
	const struct vip_ops *ops; /* NULL: not implemented */
} MODES[] = {
	{NETIF_VMAC_SET_MAC, "set-mac", &vip_ops_set_mac},
	{NETIF_VMAC_MACVLAN, "macvlan", NULL},
	{NETIF_VMAC_IP_ONLY, "ip-only", &vip_ops_ip_only},
	{NETIF_VMAC_AUTO, "auto", NULL},
};

enum { MODES_LEN = sizeof(MODES) / sizeof(MODES[0]) };

const char *netif_vmac_mode_name(enum netif_vmac_mode mode)
{
	for (size_t i = 0; i < MODES_LEN; i++) {
		if (MODES[i].mode == mode)
			return MODES[i].name;
	}
	return "?";
}

int netif_vmac_mode_parse(enum netif_vmac_mode *out, const char *text)
{
	for (size_t i = 0; i < MODES_LEN; i++) {
		if (!strcmp(MODES[i].name, text)) {
			*out = MODES[i].mode;
			return 0;
		}
	}
	return -EINVAL;
}

static int ops_of(enum netif_vmac_mode mode, const struct vip_ops **out)
{
	for (size_t i = 0; i < MODES_LEN; i++) {
		if (MODES[i].mode == mode) {
			*out = MODES[i].ops;
			return *out ? 0 : -EOPNOTSUPP;
		}
	}
	return -EINVAL;
}

static bool ips_valid(const struct netif_ip *list, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		size_t bytes = netif_ip_len(&list[i]);

		if (!bytes || list[i].prefix > bytes * 8)
			return false;
	}
	return true;
}

static bool params_valid(const struct netif_vip_params *p)
{
	if (!p->nic || !p->nic[0] || strlen(p->nic) >= IF_NAMESIZE)
		return false;
	if (!p->run_dir || strlen(p->run_dir) >= PATH_MAX)
		return false;
	if (!p->addrs_len || p->addrs_len > NETIF_VIP_ADDRS_MAX ||
	    p->gateways_len > NETIF_VIP_GATEWAYS_MAX)
		return false;
	if (p->table_id == RT_TABLE_UNSPEC ||
	    (p->table_id >= RT_TABLE_DEFAULT && p->table_id <= RT_TABLE_LOCAL))
		return false;
	if (p->mode == NETIF_VMAC_SET_MAC && !netif_mac_is_usable(p->vmac))
		return false;
	return ips_valid(p->addrs, p->addrs_len) &&
	       ips_valid(p->gateways, p->gateways_len);
}

static int find_original_mac(struct netif_vip *v, const struct netif_link *l)
{
	struct vip_runfile rf;
	int err = vip_runfile_read(v->run_dir, v->nic, &rf);

	if (!err) {
		v->leftover = true;
		memcpy(v->original_mac, rf.original_mac, NETIF_MAC_LEN);
		return 0;
	}
	memcpy(v->original_mac, l->mac, NETIF_MAC_LEN);
	if (v->mode == NETIF_VMAC_SET_MAC && l->has_perm_mac &&
	    !memcmp(l->mac, v->vmac, NETIF_MAC_LEN))
		memcpy(v->original_mac, l->perm_mac, NETIF_MAC_LEN);
	/* A damaged file is no reason not to run. */
	return err == -ENOENT || err == -EBADMSG ? 0 : err;
}

static void copy_params(struct netif_vip *v, const struct netif_vip_params *p)
{
	strcpy(v->nic, p->nic);
	strcpy(v->run_dir, p->run_dir);
	v->mode = p->mode;
	v->table_id = p->table_id;
	memcpy(v->addrs, p->addrs, p->addrs_len * sizeof(v->addrs[0]));
	v->own_len = v->addrs_len = p->addrs_len;
	if (p->gateways_len)
		memcpy(v->gateways, p->gateways,
		       p->gateways_len * sizeof(v->gateways[0]));
	v->gateways_len = p->gateways_len;
	if (p->mode == NETIF_VMAC_SET_MAC)
		memcpy(v->vmac, p->vmac, NETIF_MAC_LEN);
}

static void add_link_local(struct netif_vip *v)
{
	for (size_t i = 0; i < v->own_len; i++) {
		if (v->addrs[i].family == AF_INET6) {
			vip_link_local_of(netif_vip_taken_mac(v),
					  &v->addrs[v->addrs_len++]);
			return;
		}
	}
}

int netif_vip_create(struct netif_vip **out, const struct netif_vip_params *p)
{
	const struct vip_ops *ops;
	struct netif_link l;
	struct netif_vip *v;
	int err;

	err = ops_of(p->mode, &ops);
	if (err)
		return err;
	if (!params_valid(p))
		return -EINVAL;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	copy_params(v, p);
	v->ops = ops;
	v->group_fd = -1;
	v->set_mac = vip_link_set_mac;
	err = netif_nl_open(&v->nl, false);
	if (err)
		goto err_free;
	err = netif_nl_link_get(&v->nl, v->nic, 0, false, &l);
	if (err)
		goto err_close;
	v->ifindex = l.ifindex;
	err = find_original_mac(v, &l);
	if (err)
		goto err_close;
	add_link_local(v);
	v->packet_fd = vip_announce_open();
	if (v->packet_fd < 0) {
		err = v->packet_fd;
		goto err_close;
	}
	*out = v;
	return 0;

err_close:
	netif_nl_close(&v->nl);
err_free:
	free(v);
	return err;
}

void netif_vip_destroy(struct netif_vip *v)
{
	if (!v)
		return;
	close(v->packet_fd);
	if (v->group_fd >= 0)
		close(v->group_fd);
	netif_nl_close(&v->nl);
	free(v);
}

int netif_vip_ifindex(const struct netif_vip *v)
{
	return v->ifindex;
}

const char *netif_vip_nic(const struct netif_vip *v)
{
	return v->nic;
}

enum netif_vmac_mode netif_vip_mode(const struct netif_vip *v)
{
	return v->mode;
}

const uint8_t *netif_vip_taken_mac(const struct netif_vip *v)
{
	return v->ops->expected_mac(v, true);
}

const uint8_t *netif_vip_original_mac(const struct netif_vip *v)
{
	return v->original_mac;
}

bool netif_vip_has_leftover(const struct netif_vip *v)
{
	return v->leftover;
}

int netif_vip_prepare(struct netif_vip *v)
{
	struct netif_link l;
	int err;

	err = vip_sysctl_prepare(v);
	if (err)
		return err;
	err = netif_nl_link_get(&v->nl, NULL, v->ifindex, false, &l);
	if (err)
		return err;
	if (!l.up) {
		err = vip_link_set_up(&v->nl, v->ifindex, true);
		if (err)
			return err;
	}
	err = vip_addrs_drop_link_local(v);
	if (err)
		return err;
	err = vip_groups_join(v);
	if (err)
		return err;
	/* Rules first: until the routes are there nothing leaves at all. */
	err = vip_rules_install(v);
	if (err)
		return err;
	return vip_routes_install(v);
}

int netif_vip_unprepare(struct netif_vip *v)
{
	int err = vip_routes_remove(v);
	int rule_err = vip_rules_remove(v);

	return err ? err : rule_err;
}

static void keep_first(int *first, int err)
{
	if (err < 0 && !*first)
		*first = err;
}

/* A NIC that is gone took all with it. */
static int fine_if_gone(int err)
{
	return err == -ENODEV ? 0 : err;
}

static int release_state(struct netif_vip *v)
{
	int first = 0;

	keep_first(&first, fine_if_gone(vip_addrs_del(v)));
	keep_first(&first, fine_if_gone(v->ops->release_mac(v)));
	return first;
}

/* 1 released, 0 not meant, -errno. */
static int release_leftover(struct netif_nl *nl, const char *run_dir,
			    const char *nic, pid_t owner)
{
	struct vip_runfile rf;
	struct netif_vip v = {
		.packet_fd = -1,
		.group_fd = -1,
		.set_mac = vip_link_set_mac,
	};
	int err = vip_runfile_read(run_dir, nic, &rf);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (owner && owner != rf.owner)
		return 0;
	err = ops_of(rf.mode, &v.ops);
	if (err)
		return err;
	v.ifindex = (int)if_nametoindex(nic);
	if (v.ifindex) {
		v.nl = *nl;
		memcpy(v.vmac, rf.vmac, NETIF_MAC_LEN);
		memcpy(v.original_mac, rf.original_mac, NETIF_MAC_LEN);
		memcpy(v.addrs, rf.addrs, sizeof(v.addrs));
		v.addrs_len = rf.addrs_len;
		err = release_state(&v);
		if (err)
			return err;
	}
	err = vip_runfile_remove(run_dir, nic);
	return err ? err : 1;
}

/* What an earlier run took may not be what this one knows. */
static int release_earlier_run(struct netif_vip *v)
{
	int err;

	if (!v->leftover)
		return 0;
	err = release_leftover(&v->nl, v->run_dir, v->nic, 0);
	if (err < 0)
		return err;
	v->leftover = false;
	return 0;
}

int netif_vip_take(struct netif_vip *v, const struct netif_neigh *neigh,
		   size_t neigh_len)
{
	int first = 0;

	first = release_earlier_run(v);
	if (first)
		return first;
	/* Without the file a crash would leave the MAC behind: no take. */
	first = vip_runfile_write(v);
	if (first)
		return first;
	keep_first(&first, v->ops->take_mac(v));
	keep_first(&first, vip_addrs_add(v));
	keep_first(&first, vip_announce_send(v));
	/* Whatever flushed them meanwhile. */
	keep_first(&first, vip_routes_install(v));
	keep_first(&first, vip_neighs_install(v, neigh, neigh_len));
	return first;
}

int netif_vip_announce(struct netif_vip *v)
{
	return vip_announce_send(v);
}

int netif_vip_release(struct netif_vip *v)
{
	int first = release_earlier_run(v);

	keep_first(&first, release_state(v));
	if (!first)
		first = vip_runfile_remove(v->run_dir, v->nic);
	/*
	 * With the last IPv4 address of a NIC the kernel removes all IPv4
	 * routes through it, in every table. A NIC that is down can have
	 * none: prepare() brings them back.
	 */
	(void)vip_routes_install(v);
	return first;
}

int netif_vip_verify(struct netif_vip *v, bool taken,
		     struct netif_vip_report *out)
{
	const uint8_t *want = v->ops->expected_mac(v, taken);
	struct netif_vip_report r = {0};
	char a[NETIF_MAC_STRLEN], b[NETIF_MAC_STRLEN];
	struct netif_link l;
	int err;

	err = netif_nl_link_get(&v->nl, NULL, v->ifindex, false, &l);
	if (err)
		return err;
	r.up = l.up;
	r.carrier = l.carrier;
	memcpy(r.mac_seen, l.mac, NETIF_MAC_LEN);
	r.mac_ok = !memcmp(l.mac, want, NETIF_MAC_LEN);
	if (!r.up)
		snprintf(r.text, sizeof(r.text), "down");
	if (!r.mac_ok) {
		size_t at = strlen(r.text);

		snprintf(r.text + at, sizeof(r.text) - at, "%smac %s not %s",
			 at ? ", " : "", netif_mac_format(l.mac, a, sizeof(a)),
			 netif_mac_format(want, b, sizeof(b)));
	}
	err = vip_addrs_check(v, taken, &r);
	if (err)
		return err;
	r.as_expected = r.up && r.mac_ok && !r.missing && !r.lingering;
	*out = r;
	return 0;
}

static int leftovers_lock(const char *run_dir)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/netif.lock", run_dir) >=
	    sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* Held for a few milliseconds by the other process at most. */
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR) {
			int err = -errno;

			close(fd);
			return err;
		}
	}
	return fd;
}

ssize_t netif_vip_release_leftovers(const char *run_dir, pid_t owner)
{
	struct netif_nl nl;
	struct dirent *de;
	ssize_t done = 0;
	int lock, err, first = 0;
	DIR *dir;

	lock = leftovers_lock(run_dir);
	if (lock < 0)
		return lock;
	err = netif_nl_open(&nl, false);
	if (err)
		goto err_unlock;
	dir = opendir(run_dir);
	if (!dir) {
		err = -errno;
		goto err_close;
	}
	while ((de = readdir(dir))) {
		char nic[IF_NAMESIZE];

		if (!vip_runfile_nic(de->d_name, nic))
			continue;
		err = release_leftover(&nl, run_dir, nic, owner);
		keep_first(&first, err);
		done += err == 1;
	}
	closedir(dir);
	err = first;
err_close:
	netif_nl_close(&nl);
err_unlock:
	close(lock);
	return err ? err : done;
}
