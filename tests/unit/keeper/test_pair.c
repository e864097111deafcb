/*
 * Two keepers on simulated machines, through random schedules of crash,
 * restart, pause, stop, loss, cuts of single directions and loss of the
 * witness. However a schedule goes:
 *
 *  - a gate is opened beside an open one only after the silence and the lease
 *    (checked in pair.h), unless the other machine was paused;
 *  - with nothing cut, lost or paused two gates are never open at once;
 *  - two open gates are one again TOLD_MS after the later node's first frame
 *    came through, or, if none can, after ALONE_MS;
 *  - a node that is well is not without an active for longer than NOBODY_MS,
 *    and when all is well one is active and the other a standby in sync;
 *  - no epoch is used twice.
 *
 * PAIR_RUNS is how many schedules (of about 20 simulated seconds each),
 * PAIR_SEED the first one's seed. One that fails is made as short as it still
 * fails, and printed.
 */
#include "pair_world.h"

enum {
	RUNS = 600,
	FAULTS_MAX = 6,
	START_MS = 6000, /* to become a pair */
	NOBODY_MS = 9000,
	SETTLE_MS = 12000,
	TOLD_MS = 40,
	HALVES_MS = 1000,
	/* A stopped main loop is passed by the lease alone. */
	STALLED_MS = 350,
};

/* Both orders of lease and silence. */
static const struct timing timings[] = {
	{.beat_ms = 10, .silence_ms = 90, .lease_ms = 60},
	{.beat_ms = 10, .silence_ms = 100, .lease_ms = 200},
};

enum fault_kind {
	POWER,
	KEEPER,
	STOP,
	STARVE,
	PAUSE,
	CUT_TX,
	CUT_RX,
	CUT_HA, /* both links, one direction */
	MUTE, /* nothing leaves the node */
	DEAF,
	SPLIT, /* of every network, a gateway in each half */
	LOSS,
	WITNESS,
	HANDOVER,
	KINDS
};

static const char *const kind_names[] = {
	"power loss",
	"keeper killed",
	"processes stopped",
	"main loop stopped",
	"machine paused",
	"cut to the switch",
	"cut from the switch",
	"both HA links cut one way",
	"mute",
	"deaf",
	"everything split in two",
	"loss",
	"witness lost",
	"switchover",
};

struct fault {
	enum fault_kind kind;
	unsigned node, path, percent;
	uint64_t at_ms, for_ms;
	bool skip;
};

struct schedule {
	uint64_t seed;
	struct fault faults[FAULTS_MAX];
	unsigned len;
};

/* ---- a schedule ---------------------------------------------------------- */
static uint64_t some_time(void)
{
	switch (dice(4)) {
	case 0:
		return 1 + dice(60);
	case 1:
		return 50 + dice(400);
	case 2:
		return 200 + dice(1500);
	default:
		return 1000 + dice(9000);
	}
}

static void draw(struct schedule *s, uint64_t seed)
{
	uint64_t at_ms = START_MS;

	memset(s, 0, sizeof(*s));
	w.random = seed;
	dice(2);
	s->seed = seed;
	s->len = 1 + dice(FAULTS_MAX);
	for (unsigned i = 0; i < s->len; i++) {
		struct fault *f = &s->faults[i];

		at_ms += dice(3) ? dice(350) : dice(4000);
		*f = (struct fault){
			.kind = (enum fault_kind)dice(KINDS),
			.node = dice(2),
			.path = dice(PATHS),
			.percent = 10 + dice(60),
			.at_ms = at_ms,
			.for_ms = some_time(),
		};
	}
}

static void print_schedule(const struct schedule *s)
{
	printf("  seed %" PRIu64 "\n", s->seed);
	for (unsigned i = 0; i < s->len; i++) {
		const struct fault *f = &s->faults[i];

		if (!f->skip)
			printf("  at %" PRIu64 " ms for %" PRIu64
			       " ms: %s, node %u, path %u, %u %%\n",
			       f->at_ms, f->for_ms, kind_names[f->kind],
			       f->node + 1, f->path, f->percent);
	}
}

/* ---- faults -------------------------------------------------------------- */
static void set_ports(struct node *n, const struct fault *f, bool works)
{
	bool *ports = f->kind == CUT_RX || (f->kind == CUT_HA && f->path % 2)
			      ? n->rx
			      : n->tx;

	if (f->kind == DEAF)
		ports = n->rx;
	if (f->kind == DEAF || f->kind == MUTE)
		ports[0] = ports[1] = ports[2] = ports[3] = works;
	else if (f->kind == CUT_HA)
		ports[0] = ports[1] = works;
	else
		ports[f->path] = works;
}

static void switch_over(struct node *n)
{
	struct node *p = other(n);

	w.current = n;
	if (!runs(n) || n->starved || n->k->roles.role != HA_ROLE_ACTIVE ||
	    !runs(p) || !in_one_group() || !p->k->roles.in_sync)
		return;
	role_event(n->k, HA_EV_HANDOVER, "asked for");
}

static void begin(const struct fault *f)
{
	struct node *n = &w.node[f->node];

	say("node %u: %s, path %u, for %" PRIu64 " ms", f->node + 1,
	    kind_names[f->kind], f->path, f->for_ms);
	switch (f->kind) {
	case POWER:
		power_off(n);
		break;
	case KEEPER:
		keeper_killed(n, (unsigned)f->for_ms);
		break;
	case STOP:
		n->stopped = true;
		w.unsure = true;
		break;
	case STARVE:
		n->starved = true;
		break;
	case PAUSE:
		n->frozen = n->powered;
		n->was_frozen = true;
		w.unsure = true;
		break;
	case CUT_TX:
	case CUT_RX:
	case CUT_HA:
	case MUTE:
	case DEAF:
		w.deafened |= f->kind == DEAF || f->kind == CUT_RX;
		/* It cannot tell a witness lost to it from a dead one. */
		w.unsure = true;
		set_ports(n, f, false);
		break;
	case SPLIT:
		w.split = true;
		break;
	case LOSS:
		w.loss_percent = f->percent;
		break;
	case WITNESS:
		w.witness = false;
		w.unsure = true;
		break;
	case HANDOVER:
		switch_over(n);
		break;
	case KINDS:
		break;
	}
}

static void end(const struct fault *f)
{
	struct node *n = &w.node[f->node];

	say("node %u: no more: %s", f->node + 1, kind_names[f->kind]);
	switch (f->kind) {
	case POWER:
		if (!n->powered)
			power_on(n);
		break;
	case STOP:
		n->stopped = false;
		break;
	case STARVE:
		n->starved = false;
		break;
	case PAUSE:
		n->frozen = false;
		break;
	case CUT_TX:
	case CUT_RX:
	case CUT_HA:
	case MUTE:
	case DEAF:
		set_ports(n, f, true);
		break;
	case SPLIT:
		w.split = false;
		break;
	case LOSS:
		w.loss_percent = 0;
		break;
	case WITNESS:
		w.witness = w.with_witness;
		break;
	case KEEPER:
	case HANDOVER:
	case KINDS:
		break;
	}
}

/* ---- judging ------------------------------------------------------------- */
static bool all_paths(const struct node *n)
{
	for (unsigned i = 0; i < PATHS; i++) {
		if (!n->tx[i] || !n->rx[i])
			return false;
	}
	return true;
}

static bool well(const struct node *n)
{
	if (!runs(n) || n->starved || !all_paths(n) || w.loss_percent)
		return false;
	return !w.with_witness || sees_witness(n) ||
	       n->k->roles.ev.witness_known_dead;
}

static bool on_one_network(const struct node *a, const struct node *b)
{
	for (unsigned i = FIRST_SERVICE; i < PATHS; i++) {
		if (a->tx[i] && b->tx[i])
			return true;
	}
	return false;
}

/* Two halves know nothing of each other: a witness chooses, once corosync
 * has noticed. Without one both serve. */
static void judge_halves(void)
{
	bool both = gate_open(&w.node[0]) && gate_open(&w.node[1]);

	w.halves_ms =
		w.split && w.witness && !w.unsure && both ? w.halves_ms + 1 : 0;
	if (w.halves_ms > HALVES_MS)
		wrong("both halves serve, and there is a witness");
}

/* The main loop is what yields; without it the lease is. */
static uint64_t told_bound(void)
{
	for (int i = 0; i < 2; i++) {
		if (!runs(&w.node[i]) || w.node[i].starved)
			return STALLED_MS;
	}
	return TOLD_MS;
}

static void judge_two(bool only_stops)
{
	struct node *a = &w.node[0], *b = &w.node[1];
	uint64_t alone_ms = 4 * w.timing->silence_ms + w.timing->lease_ms;

	/* It can be told nothing: its gateways' last answer counts. */
	if (w.deafened)
		alone_ms += GWPROBE_LOST_MS;

	if (!gate_open(a) || !gate_open(b) || w.split ||
	    !on_one_network(a, b)) {
		w.two_ms = w.two_told_ms = 0;
		return;
	}
	if (!w.two_ms)
		say("two gates are open");
	w.two_ms++;
	if (w.two_ms > w.two_worst_ms)
		w.two_worst_ms = w.two_ms;
	if (only_stops)
		wrong("two gates are open, and nothing was cut, lost or "
		      "paused");
	if (w.two_told_ms && w.now_ms - w.two_told_ms > told_bound())
		wrong("two gates are open %" PRIu64 " ms after one was told",
		      w.now_ms - w.two_told_ms);
	if (w.two_ms > alone_ms && !w.loss_percent)
		wrong("two gates are open for %" PRIu64 " ms", w.two_ms);
}

static void judge(bool only_stops)
{
	bool served = gate_open(&w.node[0]) || gate_open(&w.node[1]);

	judge_two(only_stops);
	judge_halves();
	if (served || (!well(&w.node[0]) && !well(&w.node[1])))
		w.nobody_ms = 0;
	else if (++w.nobody_ms > NOBODY_MS)
		wrong("nobody is active, and a node is well");
}

static bool paired(void)
{
	for (int i = 0; i < 2; i++) {
		const struct node *n = &w.node[i], *p = other(n);

		if (runs(n) && runs(p) && n->k->roles.role == HA_ROLE_ACTIVE &&
		    gate_open(n) && p->k->roles.role == HA_ROLE_STANDBY &&
		    p->k->roles.in_sync && !gate_open(p))
			return true;
	}
	return false;
}

/* ---- a run --------------------------------------------------------------- */
static void world_begin(uint64_t seed)
{
	bool verbose = w.verbose;

	memset(&w, 0, sizeof(w));
	w.verbose = verbose;
	w.random = seed ^ 0x5eed;
	dice(2);
	w.timing = &timings[dice(2)];
	w.with_witness = w.witness = dice(2);
	w.merge_ms = 30 + dice(200);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &w.node[i];

		n->index = i;
		n->guest_ms = 100000 + dice(1000);
		for (unsigned j = 0; j < PATHS; j++)
			n->tx[j] = n->rx[j] = true;
		power_on(n);
	}
}

static void world_turn(bool only_stops)
{
	unsigned first = dice(2);

	w.now_ms++;
	corosync_turn();
	node_turn(&w.node[first]);
	node_turn(&w.node[1 - first]);
	judge(only_stops);
}

static bool never_apart(const struct schedule *s)
{
	for (unsigned i = 0; i < s->len; i++) {
		enum fault_kind kind = s->faults[i].kind;

		if (!s->faults[i].skip && kind >= PAUSE && kind <= LOSS)
			return false;
	}
	return true;
}

static uint64_t over_ms(const struct schedule *s)
{
	uint64_t ms = START_MS;

	for (unsigned i = 0; i < s->len; i++) {
		const struct fault *f = &s->faults[i];

		if (!f->skip && f->at_ms + f->for_ms > ms)
			ms = f->at_ms + f->for_ms;
	}
	return ms;
}

static void print_node(const struct node *n)
{
	const struct ha_evidence *ev;

	if (!n->k)
		return;
	ev = &n->k->roles.ev;
	say("node %u: %s, gate %s, in sync %d, peer %s, known %d, left %d, "
	    "group %d %d %d, gateway %d, witness dead %d, quorate %d: %s",
	    n->index + 1, ha_role_name(n->k->roles.role),
	    gate_open(n) ? "open" : "shut", n->k->roles.in_sync,
	    ha_role_name(ev->peer_role), ev->peer_known, ev->peer_left,
	    n->joint, n->member, n->peer_member, ev->gateway_reachable,
	    ev->witness_known_dead, ev->quorate, n->k->roles.decision);
}

/* Empty, or what was wrong. */
static const char *run(const struct schedule *s)
{
	bool only_stops = never_apart(s);
	uint64_t end_ms = over_ms(s), stable_ms = 0;

	world_begin(s->seed);
	while (!w.wrong[0] && stable_ms < 300) {
		for (unsigned i = 0; i < s->len; i++) {
			const struct fault *f = &s->faults[i];

			if (!f->skip && f->at_ms == w.now_ms)
				begin(f);
			if (!f->skip && f->at_ms + f->for_ms == w.now_ms)
				end(f);
		}
		world_turn(only_stops);
		if (w.now_ms == START_MS && !paired())
			wrong("no pair has come up");
		stable_ms = w.now_ms > end_ms && paired() ? stable_ms + 1 : 0;
		if (w.now_ms > end_ms + SETTLE_MS)
			wrong("all is well, but there is no pair again");
	}
	for (int i = 0; i < 2; i++) {
		print_node(&w.node[i]);
		keeper_end(&w.node[i]);
	}
	return w.wrong;
}

static void shrink_and_fail(struct schedule *s)
{
	bool smaller = true;
	char what[sizeof(w.wrong)];

	while (smaller) {
		smaller = false;
		for (unsigned i = 0; i < s->len; i++) {
			if (s->faults[i].skip)
				continue;
			s->faults[i].skip = true;
			if (run(s)[0])
				smaller = true;
			else
				s->faults[i].skip = false;
		}
	}
	print_schedule(s);
	w.verbose = true;
	snprintf(what, sizeof(what), "%s", run(s));
	w.verbose = false;
	fail_msg("seed %" PRIu64 " (beat %u, silence %u, lease %u ms%s): %s",
		 s->seed, w.timing->beat_ms, w.timing->silence_ms,
		 w.timing->lease_ms, w.with_witness ? ", a witness" : "", what);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void every_schedule_ends_with_one_active(void **state)
{
	uint64_t runs_wanted = number_of("PAIR_RUNS", RUNS);
	uint64_t seed = number_of("PAIR_SEED", 1);
	uint64_t ms = 0, worst_ms = 0;
	unsigned takeovers = 0, fences = 0;

	log_init("test", "pair", LOG_EMERG);
	for (uint64_t i = 0; i < runs_wanted; i++) {
		struct schedule s;

		draw(&s, seed + i);
		if (run(&s)[0])
			shrink_and_fail(&s);
		ms += w.now_ms;
		takeovers += w.takeovers;
		fences += w.fences;
		if (w.two_worst_ms > worst_ms)
			worst_ms = w.two_worst_ms;
	}
	printf("  %" PRIu64 " schedules, %" PRIu64 " s, %u claims, %u fenced, "
	       "two at once for %" PRIu64 " ms at most\n",
	       runs_wanted, ms / 1000, takeovers, fences, worst_ms);
	/* What was to be survived did happen. */
	assert_true(takeovers > runs_wanted);
}

/* The same seed is the same run: a failure can be looked at again. */
static void a_seed_is_a_run(void **state)
{
	struct schedule s;
	uint64_t ms;
	unsigned takeovers;

	log_init("test", "pair", LOG_EMERG);
	draw(&s, 7);
	run(&s);
	ms = w.now_ms;
	takeovers = w.takeovers;
	run(&s);
	assert_int_equal(w.now_ms, ms);
	assert_int_equal(w.takeovers, takeovers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_is_a_run),
		cmocka_unit_test(every_schedule_ends_with_one_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
