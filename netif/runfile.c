/*
 * Run files: RUN_DIR/<nic>.mac says what a take changes, in text, so that
 * another process (or an administrator) can undo it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netif/vip_priv.h"

static const char HEAD[] = "netif-vip 1";
static const char SUFFIX[] = ".mac";

enum {
	/* Head, five lines and an address a line. */
	RUNFILE_BYTES = 256 + (NETIF_VIP_ADDRS_MAX + 1) * 72,
};

static int runfile_path(char *buf, size_t size, const char *run_dir,
			const char *nic, const char *more)
{
	int n = snprintf(buf, size, "%s/%s%s%s", run_dir, nic, SUFFIX, more);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

bool vip_runfile_nic(const char *file, char nic[IF_NAMESIZE])
{
	size_t len = strlen(file), tail = sizeof(SUFFIX) - 1;

	if (len <= tail || len - tail >= IF_NAMESIZE ||
	    strcmp(file + len - tail, SUFFIX) != 0)
		return false;
	memcpy(nic, file, len - tail);
	nic[len - tail] = '\0';
	return true;
}

static size_t runfile_text(const struct netif_vip *v, char *buf, size_t size)
{
	char a[NETIF_MAC_STRLEN], b[NETIF_MAC_STRLEN], ip[NETIF_IP_STRLEN];
	size_t at;

	at = (size_t)snprintf(buf, size,
			      "%s\nowner %ld\nnic %s\nmode %s\n"
			      "original-mac %s\nvirtual-mac %s\n",
			      HEAD, (long)getpid(), v->nic,
			      netif_vmac_mode_name(v->mode),
			      netif_mac_format(v->original_mac, a, sizeof(a)),
			      netif_mac_format(v->vmac, b, sizeof(b)));
	for (size_t i = 0; i < v->addrs_len && at < size; i++)
		at += (size_t)snprintf(
			buf + at, size - at, "address %s\n",
			netif_ip_format(&v->addrs[i], ip, sizeof(ip)));
	if (at < size)
		at += (size_t)snprintf(buf + at, size - at, "end\n");
	return at;
}

int vip_runfile_write(const struct netif_vip *v)
{
	char path[PATH_MAX], temp[PATH_MAX], text[RUNFILE_BYTES];
	size_t len = runfile_text(v, text, sizeof(text));
	int fd, err;

	if (len >= sizeof(text))
		return -EMSGSIZE;
	err = runfile_path(path, sizeof(path), v->run_dir, v->nic, "");
	if (!err)
		err = runfile_path(temp, sizeof(temp), v->run_dir, v->nic,
				   ".new");
	if (err)
		return err;
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0644);
	if (fd < 0)
		return -errno;
	/* No fsync: what it describes does not survive a reboot either. */
	if (write(fd, text, len) != (ssize_t)len)
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && rename(temp, path) < 0)
		err = -errno;
	if (err)
		unlink(temp);
	return err;
}

int vip_runfile_remove(const char *run_dir, const char *nic)
{
	char path[PATH_MAX];
	int err = runfile_path(path, sizeof(path), run_dir, nic, "");

	if (err)
		return err;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int parse_value(struct vip_runfile *rf, const char *key,
		       const char *value)
{
	char *end;

	if (!strcmp(key, "owner")) {
		rf->owner = (pid_t)strtol(value, &end, 10);
		return *end || rf->owner <= 0 ? -EBADMSG : 0;
	}
	if (!strcmp(key, "nic")) {
		if (!*value || strlen(value) >= sizeof(rf->nic))
			return -EBADMSG;
		strcpy(rf->nic, value);
		return 0;
	}
	if (!strcmp(key, "mode"))
		return netif_vmac_mode_parse(&rf->mode, value);
	if (!strcmp(key, "original-mac"))
		return netif_mac_parse(rf->original_mac, value);
	if (!strcmp(key, "virtual-mac"))
		return netif_mac_parse(rf->vmac, value);
	if (!strcmp(key, "address")) {
		if (rf->addrs_len > NETIF_VIP_ADDRS_MAX)
			return -EBADMSG;
		return netif_ip_parse(&rf->addrs[rf->addrs_len++], value);
	}
	return 0; /* of a later version */
}

static int runfile_parse(char *text, struct vip_runfile *out)
{
	struct vip_runfile rf = {0};
	char *save = NULL, *line;
	bool ended = false;

	line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, HEAD) != 0)
		return -EBADMSG;
	while ((line = strtok_r(NULL, "\n", &save))) {
		char *value = strchr(line, ' ');

		if (!strcmp(line, "end")) {
			ended = true;
			break;
		}
		if (!value)
			return -EBADMSG;
		*value++ = '\0';
		if (parse_value(&rf, line, value))
			return -EBADMSG;
	}
	if (!ended || !rf.nic[0] || !rf.owner || !rf.mode ||
	    !netif_mac_is_usable(rf.original_mac))
		return -EBADMSG;
	*out = rf;
	return 0;
}

int vip_runfile_read(const char *run_dir, const char *nic,
		     struct vip_runfile *out)
{
	char path[PATH_MAX], text[RUNFILE_BYTES + 1];
	struct vip_runfile rf;
	ssize_t n;
	int fd, err;

	err = runfile_path(path, sizeof(path), run_dir, nic, "");
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	text[n] = '\0';
	err = runfile_parse(text, &rf);
	if (err)
		return err;
	if (strcmp(rf.nic, nic) != 0)
		return -EBADMSG;
	*out = rf;
	return 0;
}
