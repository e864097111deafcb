/*
 * The guard as a process, this program again: what it does when its keeper is
 * gone, or says good-bye. Beside a lease that does not run out during a test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "netif/ether.h"
#include "netif/gate.h"
#include "netif/vip.h"
#include "sbcd/keeper/guard.h"

enum { LEASE_MS = 60000, BOOT = 77 };

static const uint8_t VMAC[6] = {0x02, 0x5b, 0xc0, 0x00, 0x01, 0x01};

struct fixture {
	struct netif_gate *gate;
	struct netif_vip *vip;
	struct guard_params params;
	int beats; /* what the guard says comes here */
	int frames; /* and here, from the service network */
	int fd;
	pid_t pid;
};

static void take_all(struct fixture *f)
{
	struct netif_gate_nic nic = {.nic = "svc"};
	struct netif_ip ip;
	struct netif_vip_params p = {
		.nic = "svc",
		.mode = NETIF_VMAC_SET_MAC,
		.addrs = &ip,
		.addrs_len = 1,
		.table_id = 4001,
		.run_dir = f->params.run_dir,
	};

	assert_int_equal(netif_ip_parse(&ip, "10.10.0.10/24"), 0);
	memcpy(nic.vmac, VMAC, 6);
	memcpy(p.vmac, VMAC, 6);
	assert_int_equal(netif_gate_create(&f->gate, &nic, 1), 0);
	assert_int_equal(netif_gate_open(f->gate, LEASE_MS), 0);
	assert_int_equal(netif_vip_create(&f->vip, &p), 0);
	assert_int_equal(netif_vip_prepare(f->vip), 0);
	assert_int_equal(netif_vip_take(f->vip, NULL, 0), 0);
}

/* A service network is a way too, with the NIC's own MAC. */
static void open_frames(struct fixture *f)
{
	struct beat_path *p = &f->params.paths[1];
	struct sockaddr_storage unused;
	uint8_t group[NETIF_MAC_LEN];
	socklen_t len;

	/* Until the link watcher has run, frames go nowhere. */
	assert_int_equal(system("ip link set far up && for i in $(seq 300); do "
				"[ $(ip -o link | grep -c 'state UP') = 2 ] && "
				"exit 0; sleep 0.01; done; exit 1"),
			 0);
	netif_ether_group(1, group);
	assert_int_equal(
		netif_gate_exempt(f->gate, NETIF_GATE_EXEMPT_BEAT, true), 0);
	p->fd = netif_ether_open("svc", NETIF_GATE_EXEMPT_BEAT, group, &p->to,
				 &p->to_len);
	f->frames = netif_ether_open("far", NETIF_GATE_EXEMPT_BEAT, group,
				     &unused, &len);
	assert_true(p->fd >= 0 && f->frames >= 0);
}

static bool taken(struct fixture *f)
{
	struct netif_vip_report r;

	assert_int_equal(netif_vip_verify(f->vip, true, &r), 0);
	return r.as_expected;
}

static bool released(struct fixture *f)
{
	struct netif_vip_report r;

	assert_int_equal(netif_vip_verify(f->vip, false, &r), 0);
	return r.as_expected;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	assert_non_null(f);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link add svc type veth peer name far"), 0);
	f->params = (struct guard_params){
		.node = 1,
		.boot_id = BOOT,
		.name = "n",
		.log_level = LOG_ERR,
		.run_dir = "/tmp/sbcd-guard-XXXXXX",
		.keeper = getpid(),
		.paths_len = 2,
		.lock_fd = -1,
	};
	assert_non_null(mkdtemp(f->params.run_dir));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	f->params.paths[0].fd = pair[0];
	f->beats = pair[1];
	take_all(f);
	open_frames(f);
	f->pid = guard_start(&f->params, &f->fd);
	assert_true(f->pid > 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[256];

	close(f->params.paths[0].fd);
	close(f->params.paths[1].fd);
	close(f->beats);
	close(f->frames);
	netif_vip_destroy(f->vip);
	netif_gate_destroy(f->gate);
	snprintf(command, sizeof(command), "rm -r %s", f->params.run_dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void wait_end(struct fixture *f)
{
	int status;

	close(f->fd);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_keeper_that_vanished_is_cleaned_up(void **state)
{
	struct fixture *f = *state;
	struct ha_beat_window window = {0};
	struct ha_beat beat;
	uint8_t word[HA_BEAT_SIZE + 1];
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	uint8_t own[NETIF_MAC_LEN];
	unsigned words = 0, frames = 0;
	ssize_t n;

	memcpy(own, netif_vip_original_mac(f->vip), sizeof(own));
	assert_int_equal(netif_gate_is_open(f->gate), 1);
	assert_true(taken(f));
	wait_end(f);
	assert_int_equal(netif_gate_is_open(f->gate), 0);
	assert_true(released(f));
	while ((n = recv(f->beats, word, sizeof(word), MSG_DONTWAIT)) > 0) {
		assert_int_equal(
			ha_beat_decode(&beat, f->params.key, word, (size_t)n),
			0);
		assert_int_equal(beat.type, HA_BEAT_RELEASED);
		assert_int_equal(beat.node, 1);
		assert_true(beat.boot_id == BOOT);
		assert_true(ha_beat_fresh(&window, &beat));
		words++;
	}
	assert_int_equal(words, GUARD_REPEATS);
	while ((n = recvfrom(f->frames, word, sizeof(word), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &from_len)) > 0) {
		assert_int_equal(n, HA_BEAT_SIZE);
		assert_memory_equal(from.sll_addr, own, sizeof(own));
		frames++;
	}
	assert_int_equal(frames, GUARD_REPEATS);
}

static void after_a_good_bye_nothing_is_touched(void **state)
{
	struct fixture *f = *state;
	uint8_t word[HA_BEAT_SIZE];

	guard_dismiss(f->fd);
	wait_end(f);
	assert_int_equal(netif_gate_is_open(f->gate), 1);
	assert_true(taken(f));
	assert_int_equal(recv(f->beats, word, sizeof(word), MSG_DONTWAIT), -1);
}

/* A gate that was made anew since: the prepared way is not the only one. */
static void a_gate_made_later_is_shut_too(void **state)
{
	struct fixture *f = *state;
	struct netif_gate_nic nic = {.nic = "svc"};

	netif_gate_destroy(f->gate);
	assert_int_equal(netif_gate_create(&f->gate, &nic, 1), 0);
	assert_int_equal(netif_gate_open(f->gate, LEASE_MS), 0);
	wait_end(f);
	assert_int_equal(netif_gate_is_open(f->gate), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(a_keeper_that_vanished_is_cleaned_up),
		T(after_a_good_bye_nothing_is_touched),
		T(a_gate_made_later_is_shut_too),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return guard_main();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
