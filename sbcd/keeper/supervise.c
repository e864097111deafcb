/*
 * What happens between the keeper and its workers: configuration and
 * descriptors for a new process, its words, its death, and the records that
 * pass through the hub.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sbcd/base/clock.h"
#include "sbcd/base/log.h"
#include "sbcd/keeper/keeper_int.h"
#include "sbcd/record/record.h"

enum {
	/* So many deaths in a row while replaying: start without records. */
	REPLAY_CRASHES_MAX = 3,
	/* A worker that answers nothing for so long is replaced. */
	PING_MS = 10000,
	/* Not every crash storm moves the calls to and fro. */
	STORM_HANDOVER_MS = 60000,
};

bool supervise_worker_ready(const struct keeper *k, enum hub_worker w)
{
	return workers_running(k->workers, w) && hub_is_replayed(k->hub, w);
}

void supervise_update_quiet(struct keeper *k)
{
	bool quiet = !supervise_worker_ready(k, HUB_SIP) ||
		     !supervise_worker_ready(k, HUB_MEDIA);

	if (quiet == k->quiet || k->stopping)
		return;
	k->quiet = quiet;
	netglue_quiet(k->net, quiet);
}

/* ---- a new worker ------------------------------------------------------- */
static int send_config(struct keeper *k, enum hub_worker w)
{
	struct link_message m = {
		.type = LINK_CONFIG,
		.value = k->worker_text,
		.size = strlen(k->worker_text),
	};
	size_t size = strlen(k->config_text);
	int fd = memfd_create("sbcd-config", MFD_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (pwrite(fd, k->config_text, size, 0) != (ssize_t)size)
		err = -EIO;
	m.fds[0] = fd;
	m.fds_len = 1;
	if (!err)
		err = workers_send(k->workers, w, &m);
	close(fd);
	return err;
}

static int send_fds(void *ctx, const char *json, const int *fds, size_t len)
{
	struct keeper *k = ctx;
	struct link_message m = {
		.type = LINK_FDS,
		.value = json,
		.size = strlen(json),
		.fds_len = len,
	};

	if (len > LINK_FDS_MAX)
		return -E2BIG;
	memcpy(m.fds, fds, len * sizeof(fds[0]));
	return workers_send(k->workers, HUB_MEDIA, &m);
}

static const char *const replay_names[] = {
	[HUB_REPLAY_NONE] = "none",
	[HUB_REPLAY_ALL] = "all",
	[HUB_REPLAY_FAREWELL] = "farewell",
};

/* The third death in a row costs the calls, but each side is told; the next
 * one costs that, too. */
static enum hub_replay replay_for(const struct keeper *k, enum hub_worker w)
{
	unsigned crashes = k->replay_crashes[w];

	if (crashes < REPLAY_CRASHES_MAX)
		return HUB_REPLAY_ALL;
	return w == HUB_SIP && crashes == REPLAY_CRASHES_MAX
		       ? HUB_REPLAY_FAREWELL
		       : HUB_REPLAY_NONE;
}

static void on_started(void *ctx, enum hub_worker w)
{
	struct keeper *k = ctx;
	enum hub_replay what = replay_for(k, w);
	int err = send_config(k, w);

	if (!err && w == HUB_MEDIA)
		err = netglue_media_fds(k->net, k->forward_key, send_fds, k);
	log_info("worker=%s event=started pid=%d records=%s error=\"%s\"",
		 workers_name(w), (int)workers_pid(k->workers, w),
		 replay_names[what], err ? strerror(-err) : "none");
	if (err) {
		/* It dies, and the next one gets another chance. */
		kill(workers_pid(k->workers, w), SIGKILL);
		return;
	}
	if (w == HUB_SIP)
		service_tell(k);
	hub_attach(k->hub, w, what);
}

static unsigned small_number(const json_t *j, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(j, name));

	return n < 0 ? 0 : n > 1000 ? 1000 : (unsigned)n;
}

static void on_pong(struct keeper *k, enum hub_worker w,
		    const struct link_message *m)
{
	json_t *said;

	k->ping_ms[w] = 0;
	if (w != HUB_SIP)
		return;
	said = json_loadb(m->value, m->size, 0, NULL);
	k->agents_down = small_number(said, "down");
	k->agent_groups_down = small_number(said, "groups-down");
	k->certificates_end_s =
		json_integer_value(json_object_get(said, "certificates-end"));
	prints_on_pong(k, said);
	json_decref(said);
}

/* ---- its words ---------------------------------------------------------- */
static void on_message(void *ctx, enum hub_worker w,
		       const struct link_message *m)
{
	struct keeper *k = ctx;

	switch (m->type) {
	case LINK_PUT:
	case LINK_DELETE:
	case LINK_APPLIED:
		hub_from_worker(k->hub, w, m, clock_mono_ms());
		break;
	case LINK_QUIESCED:
	case LINK_FORWARDING:
		handover_on_worker(k, w, m->type);
		break;
	case LINK_REPLY:
		/* Whatever it says: it lives. */
		if (m->token == SUPERVISE_PING_TOKEN)
			on_pong(k, w, m);
		else if (m->token == RECORDER_TOKEN)
			recorder_on_reply(k, w, m->value, m->size);
		else
			commands_on_reply(k, w, m->token, m->value, m->size);
		break;
	case LINK_ACTIVATED:
		recorder_worker_active(k, w);
		log_info("worker=%s event=activated epoch=%016" PRIx64,
			 workers_name(w), m->token);
		break;
	case LINK_HELLO:
		break;
	default:
		log_rated(LOG_WARNING, "worker=%s event=unexpected type=%u",
			  workers_name(w), m->type);
		break;
	}
}

static void on_malformed(void *ctx, enum hub_worker w)
{
	log_rated(LOG_WARNING, "worker=%s event=malformed", workers_name(w));
}

/* ---- is it alive? ------------------------------------------------------ */
void supervise_pulse(struct keeper *k)
{
	const struct counters *c = workers_counters(k->workers, HUB_MEDIA);
	pid_t pid = supervise_worker_ready(k, HUB_MEDIA)
			    ? workers_pid(k->workers, HUB_MEDIA)
			    : 0;
	int thread = pulse_turn(&k->media_pulse, c, pid, clock_mono_ms());

	if (thread < 0)
		return;
	log_err("worker=%s event=hangs pid=%d thread=%d",
		workers_name(HUB_MEDIA), (int)pid, thread);
	/* A crash like any other. */
	workers_condemn(k->workers, HUB_MEDIA);
}

void supervise_ping(struct keeper *k)
{
	static const char question[] = "{\"cmd\":\"ping\"}";
	uint64_t now_ms = clock_mono_ms();

	for (int i = 0; i < HUB_WORKERS; i++) {
		enum hub_worker w = (enum hub_worker)i;
		struct link_message m = {
			.type = LINK_QUERY,
			.token = SUPERVISE_PING_TOKEN,
			.value = question,
			.size = sizeof(question) - 1,
		};

		if (!supervise_worker_ready(k, w)) {
			k->ping_ms[i] = 0;
		} else if (!k->ping_ms[i]) {
			if (!workers_send(k->workers, w, &m))
				k->ping_ms[i] = now_ms;
		} else if (now_ms - k->ping_ms[i] > PING_MS) {
			log_err("worker=%s event=hangs pid=%d", workers_name(w),
				(int)workers_pid(k->workers, w));
			k->ping_ms[i] = 0;
			/* A crash like any other. */
			workers_condemn(k->workers, w);
		}
	}
}

/* ---- its death ---------------------------------------------------------- */
static void bury(struct keeper *k, const struct worker_death *d)
{
	struct ha_key key;
	char text[64];
	ssize_t n;

	if (d->what_size != sizeof(key))
		return;
	memcpy(&key, d->what, sizeof(key));
	n = hub_bury(k->hub, d->who, &key);
	log_err("worker=%s event=poisoned-by-record key=%s deleted=%zd",
		workers_name(d->who),
		record_key_format(&key, text, sizeof(text)), n);
}

/* Sent is not taken: it has died of what it was just given, or of building
 * calls from that when it became active (a key without a kind). */
static bool died_replaying(const struct keeper *k, const struct worker_death *d)
{
	struct ha_key key;

	if (!hub_has_applied(k->hub, d->who))
		return true;
	if (d->busy != BUSY_RECORD || d->what_size != sizeof(key))
		return false;
	memcpy(&key, d->what, sizeof(key));
	return !key.kind;
}

static void judge_crash(struct keeper *k, const struct worker_death *d)
{
	bool in_replay = d->of_its_work && died_replaying(k, d);
	int sig = WIFSIGNALED(d->status) ? WTERMSIG(d->status) : 0;

	if (in_replay)
		k->replay_crashes[d->who]++;
	else if (d->of_its_work)
		k->replay_crashes[d->who] = 0;
	log_err("worker=%s event=died signal=%d exit=%d ran-ms=%" PRIu64
		" replaying=%s restart-ms=%u",
		workers_name(d->who), sig,
		WIFEXITED(d->status) ? WEXITSTATUS(d->status) : -1, d->ran_ms,
		in_replay ? "yes" : "no", d->restart_ms);
	if (d->busy == BUSY_INPUT)
		poison_input(k, d->what, d->what_size);
	else if (d->busy == BUSY_RECORD)
		bury(k, d);
}

static void storm(struct keeper *k)
{
	uint64_t now_ms = clock_mono_ms();
	const char *why;

	if (k->roles.role != HA_ROLE_ACTIVE || !k->roles.in_sync)
		return;
	if (k->handover_storm_ms &&
	    now_ms - k->handover_storm_ms < STORM_HANDOVER_MS)
		return;
	k->handover_storm_ms = now_ms;
	why = handover_begin(k, "the SIP worker keeps dying", false);
	if (why)
		log_warn("event=switchover-refused why=\"%s\"", why);
}

static void on_died(void *ctx, const struct worker_death *d)
{
	struct keeper *k = ctx;

	if (!d->wanted) {
		judge_crash(k, d);
		hub_detach(k->hub, d->who);
		supervise_update_quiet(k);
		handover_on_worker_death(k, d->who);
		if (d->who == HUB_SIP && d->storm)
			storm(k);
		return;
	}
	log_info("worker=%s event=ended", workers_name(d->who));
	/* A new role, a new try. */
	k->replay_crashes[d->who] = 0;
	hub_detach(k->hub, d->who);
	supervise_update_quiet(k);
}

const struct workers_ops supervise_workers_ops = {
	.started = on_started,
	.message = on_message,
	.died = on_died,
	.malformed = on_malformed,
};

/* ---- the hub ------------------------------------------------------------ */
static int hub_put(void *ctx, const struct ha_key *key, const void *value,
		   size_t size, unsigned flags, uint64_t token)
{
	struct keeper *k = ctx;

	if (!role_serves(k))
		return -EPERM;
	if (key->kind == REC_CALL)
		cdr_call_put(k->cdr, key, value, size);
	return ha_engine_put(k->engine, key, value, size, flags, token);
}

static int hub_del(void *ctx, const struct ha_key *key, unsigned flags,
		   uint64_t token)
{
	struct keeper *k = ctx;

	if (!role_serves(k))
		return -EPERM;
	if (key->kind == REC_CALL)
		cdr_call_deleted(k->cdr, key);
	else if (key->kind == REC_DIALOG)
		cdr_dialog_deleted(k->cdr, key);
	else if (key->kind == REC_MSTATE)
		cdr_mstate_deleted(k->cdr, key);
	return ha_engine_delete(k->engine, key, flags, token);
}

static int hub_send(void *ctx, enum hub_worker w, const struct link_message *m)
{
	struct keeper *k = ctx;

	return workers_send(k->workers, w, m);
}

static void hub_replayed(void *ctx, enum hub_worker w)
{
	struct keeper *k = ctx;

	log_info("worker=%s event=replayed", workers_name(w));
	if (role_serves(k) && !(k->roles.todo & HA_ACT_ACTIVATE))
		role_activate_worker(k, w);
	supervise_update_quiet(k);
}

static void hub_refused(void *ctx, enum hub_worker w, const struct ha_key *key,
			const char *why)
{
	char text[64];

	log_rated(LOG_WARNING, "worker=%s event=put-refused key=%s why=\"%s\"",
		  workers_name(w), record_key_format(key, text, sizeof(text)),
		  why);
}

const struct hub_ops supervise_hub_ops = {
	.put = hub_put,
	.del = hub_del,
	.send = hub_send,
	.replayed = hub_replayed,
	.refused = hub_refused,
};
