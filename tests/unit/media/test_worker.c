/*
 * The media worker as a process, unprivileged, with real steered sockets in
 * network namespaces: relaying, learning, crash and restart, records, bad
 * input. The switchover between two nodes is in test_switchover.c.
 */
#include "worker_harness.h"

#include "sbcd/media/io.h"

enum { CALL = 0xc0ffee };

static struct node *a = &nodes[0];

/* The core side over IPv4 or IPv6, the cloud side over IPv4. */
static struct rec_media call_of(uint16_t port, bool v6)
{
	struct rec_media r = record_of(port);

	if (v6) {
		r.flows[0].local = addr_of("fd00:10::10", port);
		r.flows[0].remote = addr_of("fd00:10::50", 7000);
	}
	return r;
}

static void start_active(void)
{
	node_take(a);
	worker_start(a);
	node_activate(a, 7);
}

static int tos_of(int fd, uint8_t *data, size_t size)
{
	_Alignas(struct cmsghdr) char control[64];
	struct iovec iov = {.iov_base = data, .iov_len = size};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct cmsghdr *c;

	if (poll(&p, 1, WAIT_MS) != 1 || recvmsg(fd, &m, 0) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	return c && c->cmsg_type == IP_TOS ? *CMSG_DATA(c) : -1;
}

static void expect(int fd, const uint8_t *want, size_t size,
		   const char *from_ip, uint16_t from_port)
{
	uint8_t got[2048];
	struct addr from, want_from = addr_of(from_ip, from_port);

	assert_int_equal(far_receive(fd, got, sizeof(got), WAIT_MS, &from),
			 size);
	assert_memory_equal(got, want, size);
	assert_true(addr_equal(&from, &want_from));
}

static void relay_both_ways(bool v6, uint16_t port)
{
	const char *core_vip = v6 ? "fd00:10::10" : "10.10.0.10";
	const char *core_ip = v6 ? "fd00:10::50" : "10.10.0.50";
	struct rec_media r = call_of(port, v6);
	int phone = far_socket(core_ip, 7000), pbx;
	int phone_rtcp = far_socket(core_ip, 7001), pbx_rtcp;
	uint8_t p[1472];
	size_t n;

	pbx = far_socket("10.20.0.50", 7000);
	pbx_rtcp = far_socket("10.20.0.50", 7001);
	put_media(a, CALL + port, &r);
	wait_applied(a);
	/* The kernel verifies the UDP checksum of what arrives. */
	for (unsigned i = 0; i < 20; i++) {
		n = rtp_make(p, 1, (uint16_t)i, i * 160, i * 7);
		memset(p + 12, (int)i, n - 12);
		far_send(phone, core_vip, port, p, n);
		expect(pbx, p, n, "10.20.0.10", port);
		far_send(pbx, "10.20.0.10", port, p, n);
		expect(phone, p, n, core_vip, port);
	}
	n = rtcp_make(p);
	far_send(phone_rtcp, core_vip, port + 1, p, n);
	expect(pbx_rtcp, p, n, "10.20.0.10", port + 1);
	far_send(pbx_rtcp, "10.20.0.10", port + 1, p, n);
	expect(phone_rtcp, p, n, core_vip, port + 1);
	/* Video near the MTU. */
	n = rtp_make(p, 1, 20, 0, 1400);
	far_send(phone, core_vip, port, p, n);
	expect(pbx, p, n, "10.20.0.10", port);
	n = rtp_make(p, 1, 21, 0, 20);
	far_send(phone, core_vip, port, p, n);
	assert_int_equal(tos_of(pbx, p, sizeof(p)), 46 << 2);
	close(phone);
	close(pbx);
	close(phone_rtcp);
	close(pbx_rtcp);
}

static void test_relays_both_ways(void **state)
{
	start_active();
	/* Two shards, two families. */
	relay_both_ways(false, 20000);
	relay_both_ways(false, 20004);
	relay_both_ways(true, 20008);
	relay_both_ways(true, 20012);
	assert_int_equal(counter_of(a, COUNTER_media_tx_errors), 0);
	assert_int_equal(stat_of(a, "flows"), 8);
	assert_int_equal(stat_of(a, "streams"), 4);
	assert_int_equal(stat_of(a, "ports"), 16);
	assert_int_equal(stat_of(a, "rx-packets"), 4 * 44);
	assert_int_equal(stat_of(a, "tx-packets"), 4 * 44);
}

static void test_is_unprivileged(void **state)
{
	char path[64], line[256];
	unsigned found = 0;
	FILE *f;

	start_active();
	snprintf(path, sizeof(path), "/proc/%d/status", a->pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long v;

		if (sscanf(line, "Uid: %lu", &v) == 1) {
			assert_int_equal(v, NOBODY);
			found++;
		} else if (sscanf(line, "CapEff: %lx", &v) == 1) {
			assert_int_equal(v, 0);
			found++;
		}
	}
	fclose(f);
	assert_int_equal(found, 2);
}

static void test_learns_behind_nat(void **state)
{
	int phone, rogue, pbx;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m;
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);

	start_active();
	phone = far_socket("10.10.0.50", 31234); /* not what it signalled */
	rogue = far_socket("10.10.0.50", 31235);
	pbx = far_socket("10.20.0.50", 7000);
	put_media(a, CALL, &r);
	wait_applied(a);
	far_send(phone, "10.10.0.10", 20000, p, n);
	expect(pbx, p, n, "10.20.0.10", 20000);
	far_send(pbx, "10.20.0.10", 20000, p, n);
	expect(phone, p, n, "10.10.0.10", 20000);
	/* The peer learns it too, without waiting for ten seconds. */
	WAIT_FOR(a, mstate_of(a, CALL, &m) && m.flows[0].learned.port == 31234);
	assert_int_equal(m.flows[0].ssrc, 7);
	WAIT_FOR(a, mstate_of(a, CALL, &m) && m.flows[1].learned.port == 7000);
	far_send(rogue, "10.10.0.10", 20000, p, n);
	far_send(phone, "10.10.0.10", 20000, p, n);
	expect(pbx, p, n, "10.20.0.10", 20000);
	assert_int_equal(far_receive(pbx, p, sizeof(p), 50, NULL), 0);
	assert_int_equal(counter_of(a, COUNTER_media_rx_wrong_source), 1);
	close(phone);
	close(rogue);
	close(pbx);
}

/* A crashed worker loses nothing: the sockets wait, the state is replayed. */
static void test_killed_and_restarted(void **state)
{
	int phone, pbx;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m;
	uint8_t p[64], got[64];
	size_t n = 0;
	unsigned sent = 0, received = 0;

	start_active();
	phone = far_socket("10.10.0.50", 31234);
	pbx = far_socket("10.20.0.50", 7000);
	put_media(a, CALL, &r);
	wait_applied(a);
	for (; sent < 10; sent++) {
		n = rtp_make(p, 7, (uint16_t)sent, sent * 160, 20);
		far_send(phone, "10.10.0.10", 20000, p, n);
	}
	WAIT_FOR(a, mstate_of(a, CALL, &m) && m.flows[0].learned.port == 31234);
	/* What a worker holds dies with it. */
	for (; received < sent; received++) {
		assert_true(far_receive(pbx, got, sizeof(got), WAIT_MS, NULL));
		assert_int_equal(got[2] << 8 | got[3], received);
	}
	worker_kill(a);
	for (; sent < 200; sent++) {
		n = rtp_make(p, 7, (uint16_t)sent, sent * 160, 20);
		far_send(phone, "10.10.0.10", 20000, p, n);
	}
	worker_start(a);
	assert_int_equal(far_receive(phone, p, sizeof(p), 0, NULL), 0);
	node_activate(a, 7);
	/* To the phone's learned address, before it sends again. */
	far_send(pbx, "10.20.0.10", 20000, p, n);
	expect(phone, p, n, "10.10.0.10", 20000);
	while (far_receive(pbx, got, sizeof(got),
			   received < sent ? WAIT_MS : 50, NULL)) {
		assert_int_equal(got[2] << 8 | got[3], received);
		received++;
	}
	assert_int_equal(received, sent);
	/* Counting goes on. */
	tell_wait(a, LINK_QUIESCE, 0, LINK_QUIESCED);
	assert_true(mstate_of(a, CALL, &m));
	assert_true(m.flows[0].rx_packets > 190);
	assert_true(m.flows[0].index == 199);
	close(phone);
	close(pbx);
}

/* After a take-over nobody steals the call; silence of a second ends that. */
static void test_only_the_replicated_source(void **state)
{
	int phone, rogue, pbx;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m = {.flows_len = 2};
	struct ha_key key = {.id = CALL, .kind = REC_MSTATE};
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);
	struct buf b;
	uint64_t t0;

	node_take(a);
	worker_start(a);
	m.flows[0].learned = addr_of("10.10.0.50", 31234);
	m.flows[0].rx_packets = 5;
	buf_init(&b, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &b), 0);
	send_record(a, &key, b.data, b.size); /* before its media record */
	buf_finish(&b);
	put_media(a, CALL, &r);
	wait_applied(a);
	phone = far_socket("10.10.0.50", 31234);
	rogue = far_socket("10.10.0.50", 31235);
	pbx = far_socket("10.20.0.50", 7000);
	t0 = clock_mono_ms();
	node_activate(a, 7);
	far_send(rogue, "10.10.0.10", 20000, p, n);
	far_send(phone, "10.10.0.10", 20000, p, n);
	expect(pbx, p, n, "10.20.0.10", 20000);
	assert_int_equal(far_receive(pbx, p, sizeof(p), 30, NULL), 0);
	assert_int_equal(counter_of(a, COUNTER_media_rx_wrong_source), 1);
	/* The phone falls silent: the next source may have it. */
	while (!far_receive(pbx, p, sizeof(p), 50, NULL)) {
		assert_true(clock_mono_ms() - t0 < WAIT_MS);
		far_send(rogue, "10.10.0.10", 20000, p, n);
	}
	assert_true(clock_mono_ms() - t0 >= 1000);
	close(phone);
	close(rogue);
	close(pbx);
}

static void test_standby_does_not_relay(void **state)
{
	int phone, pbx;
	struct rec_media r = call_of(20000, false);
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);

	node_take(a);
	worker_start(a);
	put_media(a, CALL, &r);
	wait_applied(a);
	phone = far_socket("10.10.0.50", 7000);
	pbx = far_socket("10.20.0.50", 7000);
	/* Five seconds old when we are told to relay: no use to anybody. */
	far_send(phone, "10.10.0.10", 20000, p, n);
	assert_int_equal(
		far_receive(pbx, p, sizeof(p), MEDIA_STALE_MS + 300, NULL), 0);
	n = rtp_make(p, 7, 2, 320, 20);
	far_send(phone, "10.10.0.10", 20000, p, n);
	node_activate(a, 7);
	expect(pbx, p, n, "10.20.0.10", 20000);
	WAIT_FOR(a, counter_of(a, COUNTER_media_rx_stale) == 1);
	close(phone);
	close(pbx);
}

static void test_nothing_is_left(void **state)
{
	int phone;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m;
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);

	start_active();
	phone = far_socket("10.10.0.50", 7000);
	put_media(a, CALL, &r);
	wait_applied(a);
	far_send(phone, "10.10.0.10", 20000, p, n);
	WAIT_FOR(a, mstate_of(a, CALL, &m));
	for (uint16_t i = 1; i < 100; i++) {
		r = call_of((uint16_t)(20000 + 4 * i), i & 1);
		put_media(a, CALL + i, &r);
	}
	wait_applied(a);
	assert_int_equal(stat_of(a, "flows"), 200);
	/* After the last report, which comes every 10 s. */
	for (uint16_t i = 2; i < 5; i++) {
		n = rtp_make(p, 7, i, i * 160u, 20);
		far_send(phone, "10.10.0.10", 20000, p, n);
	}
	WAIT_FOR(a, stat_of(a, "rx-packets") == 4);
	assert_true(mstate_of(a, CALL, &m) && m.flows[0].rx_packets < 4);
	/* Threads do not answer in the order of the calls. */
	delete_media(a, CALL);
	WAIT_FOR(a, a->deletes == 1);
	for (unsigned i = 1; i < 100; i++)
		delete_media(a, CALL + i);
	wait_applied(a);
	WAIT_FOR(a, a->deletes == 100);
	assert_false(mstate_of(a, CALL, &m));
	/* Each stream's last word says everything. */
	assert_int_equal(a->last.flows[0].rx_packets, 4);
	assert_int_equal(a->last.flows[1].tx_packets, 4);
	assert_true(a->last.flows[0].mos_x100 > 400);
	assert_int_equal(stat_of(a, "flows"), 0);
	assert_int_equal(stat_of(a, "streams"), 0);
	assert_int_equal(stat_of(a, "ports"), 0);
	assert_int_equal(stat_of(a, "records"), 0);
	/* A late packet of that call does not bring its record back. */
	far_send(phone, "10.10.0.10", 20000, p, n);
	listen_to(a, 400);
	assert_false(mstate_of(a, CALL, &m));
	assert_int_equal(counter_of(a, COUNTER_media_rx_no_flow), 1);
	close(phone);
}

/* From the last word of the active before us to the first packet. */
static void test_gap_of_a_take_over(void **state)
{
	int phone;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m = {.flows_len = 2};
	struct ha_key key = {.id = CALL, .kind = REC_MSTATE};
	uint64_t since_ns;
	uint8_t p[64];
	size_t n;
	struct buf b;

	node_take(a);
	worker_start(a);
	m.flows[0].rx_packets = m.flows[1].rx_packets = 5;
	m.flows[1].jitter_us = 777;
	m.flows[1].tx_packets = 9;
	buf_init(&b, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &b), 0);
	put_media(a, CALL, &r);
	send_record(a, &key, b.data, b.size);
	buf_finish(&b);
	/* A call in which nothing was heard yet has nothing to miss. */
	r = call_of(20004, false);
	put_media(a, CALL + 1, &r);
	wait_applied(a);
	phone = far_socket("10.10.0.50", 7000);
	since_ns = clock_mono_ns() - 1500 * (uint64_t)MS;
	activate_since(a, 7, since_ns);
	assert_int_equal(gaps_of(a, "flows"), 0);
	assert_int_equal(gaps_of(a, "silent"), 2);
	n = rtp_make(p, 7, 1, 160, 20);
	far_send(phone, "10.10.0.10", 20000, p, n);
	far_send(phone, "10.10.0.10", 20004, p, n);
	WAIT_FOR(a, stat_of(a, "rx-packets") == 2);
	assert_int_equal(gaps_of(a, "flows"), 1);
	assert_int_equal(gaps_of(a, "silent"), 1);
	assert_true(gaps_of(a, "max-us") >= 1500000);
	assert_true(gaps_of(a, "max-us") <
		    (json_int_t)((clock_mono_ns() - since_ns) / 1000));
	/* Said again it begins nothing. */
	activate_since(a, 7, clock_mono_ns());
	assert_int_equal(gaps_of(a, "flows"), 1);
	delete_media(a, CALL);
	wait_applied(a);
	WAIT_FOR(a, a->deletes == 1);
	assert_true(a->last.flows[0].gap_ms >= 1500);
	assert_int_equal(a->last.flows[0].rx_packets, 6);
	assert_int_equal(a->last.flows[1].gap_ms, 0);
	assert_int_equal(a->last.flows[1].jitter_us, 777);
	assert_int_equal(a->last.flows[1].tx_packets, 10);
	close(phone);
}

/* The SIP worker deleted the call while we were dead. */
static void test_orphans_are_swept(void **state)
{
	struct rec_mstate m = {.flows_len = 2};
	struct ha_key key = {.id = CALL, .kind = REC_MSTATE};
	struct buf b;

	node_take(a);
	buf_init(&b, 4096);
	assert_int_equal(record_encode(REC_MSTATE, &m, &b), 0);
	store_put(a, &key, b.data, b.size);
	buf_finish(&b);
	worker_start(a);
	assert_int_equal(stat_of(a, "orphans"), 1);
	assert_int_equal(a->deletes, 0); /* not a standby's to delete */
	node_activate(a, 7);
	WAIT_FOR(a, a->deletes == 1);
	assert_int_equal(stat_of(a, "orphans"), 0);
}

static void test_guard_is_reported(void **state)
{
	int phone;
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m;
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);

	r.guard_initial_ms = 300;
	r.guard_subsequent_ms = 60000;
	start_active();
	phone = far_socket("10.10.0.50", 7000);
	put_media(a, CALL, &r);
	wait_applied(a);
	/* The other side never says a word. */
	far_send(phone, "10.10.0.10", 20000, p, n);
	WAIT_FOR(a, mstate_of(a, CALL, &m) && m.guard == GUARD_INITIAL);
	assert_int_equal(counter_of(a, COUNTER_media_guard_expired), 1);
	close(phone);
}

static void test_hold(void **state)
{
	int phone, pbx;
	struct rec_media r = call_of(20000, false);
	uint8_t p[64];
	size_t n = rtp_make(p, 7, 1, 160, 20);

	start_active();
	phone = far_socket("10.10.0.50", 7000);
	pbx = far_socket("10.20.0.50", 7000);
	put_media(a, CALL, &r);
	wait_applied(a);
	far_send(phone, "10.10.0.10", 20000, p, n);
	expect(pbx, p, n, "10.20.0.10", 20000);
	r.flows[0].direction = r.flows[1].direction = FLOW_INACTIVE;
	put_media(a, CALL, &r);
	/* The command is carried out before the answer to this question. */
	assert_int_equal(stat_of(a, "flows"), 2);
	far_send(phone, "10.10.0.10", 20000, p, n);
	assert_int_equal(far_receive(pbx, p, sizeof(p), 50, NULL), 0);
	assert_int_equal(counter_of(a, COUNTER_media_rx_held), 1);
	r.flows[0].direction = r.flows[1].direction = FLOW_SENDRECV;
	put_media(a, CALL, &r);
	assert_int_equal(stat_of(a, "flows"), 2);
	far_send(phone, "10.10.0.10", 20000, p, n);
	expect(pbx, p, n, "10.20.0.10", 20000);
	close(phone);
	close(pbx);
}

static void test_call_query(void **state)
{
	int phone;
	struct rec_media r = call_of(20000, false);
	uint8_t p[64];
	size_t n = rtp_make(p, 0xabcd, 1, 160, 20);
	json_t *o, *flow;

	start_active();
	phone = far_socket("10.10.0.50", 31234);
	put_media(a, CALL, &r);
	wait_applied(a);
	far_send(phone, "10.10.0.10", 20000, p, n);
	WAIT_FOR(a, stat_of(a, "rx-packets") == 1);
	o = ask(a, "{\"cmd\":\"call\",\"id\":\"0000000000c0ffee\"}");
	flow = json_array_get(
		json_object_get(
			json_array_get(json_object_get(o, "streams"), 0),
			"flows"),
		0);
	assert_string_equal(json_string_value(json_object_get(flow, "learned")),
			    "10.10.0.50:31234");
	assert_string_equal(json_string_value(json_object_get(flow, "ssrc")),
			    "0x0000abcd");
	assert_int_equal(
		json_integer_value(json_object_get(flow, "rx-packets")), 1);
	json_decref(o);
	o = ask(a, "{\"cmd\":\"call\",\"id\":\"1\"}");
	assert_int_equal(json_array_size(json_object_get(o, "streams")), 0);
	json_decref(o);
	o = ask(a, "{\"cmd\":\"call\",\"id\":\"xyz\"}");
	assert_non_null(json_object_get(o, "error"));
	json_decref(o);
	o = ask(a, "garbage");
	assert_non_null(json_object_get(o, "error"));
	json_decref(o);
	close(phone);
}

static void test_bad_input(void **state)
{
	struct ha_key key = {.id = 99, .kind = REC_MEDIA};
	struct rec_media r = call_of(20000, false);
	uint8_t junk[1472];
	int fd, ha;

	start_active();
	/* Records. */
	for (unsigned i = 0; i < 50; i++) {
		for (size_t k = 0; k < 200; k++)
			junk[k] = (uint8_t)rand();
		key.kind = i & 1 ? REC_MEDIA : REC_MSTATE;
		send_record(a, &key, junk, 200);
	}
	strcpy(r.flows[0].network_interface, "nowhere");
	put_media(a, 98, &r);
	wait_applied(a);
	assert_true(counter_of(a, COUNTER_media_record_rejected) > 10);
	/* Packets: any bytes to any port of the pool. */
	r = call_of(20000, false);
	put_media(a, CALL, &r);
	wait_applied(a);
	fd = far_socket("10.10.0.50", 7000);
	for (unsigned i = 0; i < 2000; i++) {
		for (size_t k = 0; k < 64; k++)
			junk[k] = (uint8_t)rand();
		far_send(fd, "10.10.0.10", (uint16_t)(20000 + i % 8), junk,
			 (size_t)rand() % 64);
	}
	far_send(fd, "10.10.0.10", 20000, junk, sizeof(junk));
	/* The forward port: nobody has the key. */
	enter(nodes[1].ns);
	ha = socket(AF_INET, SOCK_DGRAM, 0);
	enter(world.home);
	for (unsigned i = 0; i < 100; i++)
		far_send(ha, "10.99.1.1", FORWARD_PORT, junk, 64 + i);
	WAIT_FOR(a, counter_of(a, COUNTER_media_forward_bad) == 100);
	WAIT_FOR(a, stat_of(a, "rx-packets") == 2001);
	assert_true(counter_of(a, COUNTER_media_rx_malformed) > 100);
	assert_true(counter_of(a, COUNTER_media_rx_no_flow) > 1000);
	close(fd);
	close(ha);
}

/* A stream with one side only, `i` of 750. */
static void put_half_call(unsigned i)
{
	struct rec_media r =
		call_of((uint16_t)(PORT_FIRST + 4 * (i % 250)), i / 250 == 1);

	if (i / 250 == 2)
		r.flows[0] = r.flows[1];
	r.flows_len = 1;
	put_media(a, CALL + i, &r);
}

/* More reports at once than fit into any ring or socket on the way. */
static void test_quiesce_reports_all(void **state)
{
	static const char *const ips[] = {"10.10.0.10", "fd00:10::10",
					  "10.20.0.10"};
	static const char *const peers[] = {"10.10.0.50", "fd00:10::50",
					    "10.20.0.50"};
	uint8_t p[64];
	unsigned reported = 0;
	struct rec_mstate m;
	int fds[3];

	start_active();
	for (unsigned i = 0; i < 3; i++)
		fds[i] = far_socket(peers[i], 7000);
	for (unsigned i = 0; i < 750; i++) {
		put_half_call(i);
		if (i % 64 == 63)
			wait_applied(a);
	}
	wait_applied(a);
	for (unsigned round = 1; round <= 2; round++) {
		for (unsigned i = 0; i < 750; i++) {
			size_t n = rtp_make(p, 7, (uint16_t)round, 160, 20);

			far_send(fds[i / 250], ips[i / 250],
				 (uint16_t)(PORT_FIRST + 4 * (i % 250)), p, n);
		}
		WAIT_FOR(a, stat_of(a, "rx-packets") == 750 * round);
		/* The latches of the first are told meanwhile. */
		listen_to(a, 50);
	}
	tell_wait(a, LINK_QUIESCE, 0, LINK_QUIESCED);
	for (unsigned i = 0; i < 750; i++)
		reported += mstate_of(a, CALL + i, &m) &&
			    m.flows[0].rx_packets == 2;
	assert_int_equal(reported, 750);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

/* Reports that are under way when their call ends stay without effect. */
static void test_reports_of_dead_calls(void **state)
{
	struct rec_media r = call_of(20000, false);
	struct rec_mstate m;
	uint8_t p[64];
	int phone;

	start_active();
	phone = far_socket("10.10.0.50", 7000);
	for (unsigned i = 0; i < 300; i++) {
		size_t n = rtp_make(p, i, 1, 160, 20);

		put_media(a, CALL + i, &r);
		wait_applied(a);
		far_send(phone, "10.10.0.10", 20000, p, n);
		delete_media(a, CALL + i);
	}
	wait_applied(a);
	assert_int_equal(stat_of(a, "streams"), 0);
	listen_to(a, 100);
	for (unsigned i = 0; i < 300; i++)
		assert_false(mstate_of(a, CALL + i, &m));
	assert_int_equal(stat_of(a, "records"), 0);
	close(phone);
}

/* Words that make no sense end the worker, so that they are noticed. */
static void test_refuses_nonsense(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{\"purpose\":\"coffee\",\"fds\":[{}]}",
		"{\"purpose\":\"media\",\"fds\":[{}]}",
		"{\"purpose\":\"media\",\"network-interface\":\"x\","
		"\"shards\":2,\"fds\":[]}",
		"{\"purpose\":\"media\",\"network-interface\":\"x\","
		"\"shards\":2,\"fds\":[{\"kind\":\"anyport\",\"shard\":2}]}",
		"{\"purpose\":\"media\",\"network-interface\":\"x\","
		"\"shards\":2,\"fds\":[{\"kind\":\"raw\"}]}",
		"{\"purpose\":\"forward\",\"key\":\"00\",\"fds\":[{}]}",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct link_message m = {.type = LINK_FDS,
					 .value = bad[i],
					 .size = strlen(bad[i]),
					 .fds_len = 1};
		int status;

		worker_start(a);
		m.fds[0] = a->counters_fd;
		say(a, &m);
		assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 1);
		a->pid = 0;
		worker_kill(a);
	}
}

static void test_ends_with_its_keeper(void **state)
{
	int status;

	start_active();
	link_destroy(a->link);
	a->link = NULL;
	assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	a->pid = 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_relays_both_ways),
		T(test_is_unprivileged),
		T(test_learns_behind_nat),
		T(test_killed_and_restarted),
		T(test_only_the_replicated_source),
		T(test_standby_does_not_relay),
		T(test_nothing_is_left),
		T(test_gap_of_a_take_over),
		T(test_orphans_are_swept),
		T(test_guard_is_reported),
		T(test_hold),
		T(test_call_query),
		T(test_bad_input),
		T(test_quiesce_reports_all),
		T(test_reports_of_dead_calls),
		T(test_refuses_nonsense),
		T(test_ends_with_its_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
