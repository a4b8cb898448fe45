/*
 * The keeper's process from its fork to its end: what it opens, its sandbox, its settings, and
 * the pump that takes what is due from the schedule. Mails come in by take.c and leave by
 * attempt.c; see keeper.h.
 */
#include "queue/keeper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "io/sandbox.h"
#include "queue/keeper_priv.h"

enum { SITE_FIRST = 5, SITE_MOST = 20 }; /* attempts at once, where nothing is said */
enum { ENDING_MS = 10, ENDING_MOST_MS = 11 * 60 * 1000 }; /* a final dot has ten minutes */

int64_t
keeper_wall(const struct keeper *k)
{
	(void)k;
	return clock_wall_ms();
}

bool
keeper_is_older(const struct keeper *k, uint64_t since_ms, uint64_t ms)
{
	return keeper_wall(k) > (int64_t)(since_ms + ms);
}

uint64_t
keeper_mono(const struct keeper *k, uint64_t wall_ms)
{
	int64_t ahead = (int64_t)wall_ms - keeper_wall(k);
	return loop_now(k->loop) + (ahead > 0 ? (uint64_t)ahead : 0);
}

void
keeper_pump(struct keeper *k)
{
	loop_task_queue(&k->pump_task);
}

void
keeper_log(const struct mail *m, const char *what, const struct stored_rcpt_note *r,
	const struct address *rcpt)
{
	char id[CUSTODY_ID_TEXT];
	struct arena *a = arena_new(64 * 1024);
	struct log_line l;
	log_begin(&l, EV_QUEUE, NULL);
	log_slice(&l, "mail", m->mail.log);
	log_text(&l, "id", custody_id_text(&m->id, id));
	log_text(&l, "what", what);
	log_slice(&l, "sender", m->mail.sender.raw);
	if (rcpt != NULL)
		log_slice(&l, "recipient", rcpt->raw);
	if (r != NULL && r->reply.code != 0) {
		if (r->state != RCPT_DELIVERED) {
			log_text(&l, "reason", failure_class_text(r->failure.class));
			log_text(&l, "phase", failure_phase_text(r->at));
		}
		log_slice(&l, "host", r->host);
		log_slice(&l, "reply", smtp_reply_line(&r->reply, a));
	}
	log_end(&l);
	arena_free(&a);
}

/* A mail for the part: in memory, or on its way there. */
static void
start(struct keeper *k, const struct schedule_pick *pick)
{
	struct mail *m = mail_find(k, &pick->id);
	if (m == NULL)
		(void)mail_load(k, &pick->id, pick->part);
	else
		attempt_begin(m, pick->part);
}

static void
pump(void *arg)
{
	struct keeper *k = arg;
	struct schedule_pick pick;
	if (k->stopping)
		return;
	loop_timer_clear(&k->pump_timer);
	if (k->loading || k->store_bad)
		return;
	while (k->loads < KEEPER_LOADS_MOST &&
		schedule_next(k->schedule, loop_now(k->loop), &pick))
		start(k, &pick);
	if (k->loads >= KEEPER_LOADS_MOST)
		return; /* the next one that is read pumps again */
	uint64_t now = loop_now(k->loop), wake = schedule_wake_ms(k->schedule, now);
	if (wake != UINT64_MAX)
		loop_timer_set(&k->pump_timer, wake > now ? wake - now : 1);
}

/* A store that failed is tried with nothing until it works again; nothing is sent meanwhile. */
static void
on_probe(void *arg, enum custody_result r, struct slice why)
{
	struct keeper *k = arg;
	(void)why;
	if (r == CUSTODY_OK) {
		k->store_bad = false;
		drops_again(k);
		mail_save_all(k);
		keeper_pump(k);
	} else {
		loop_timer_set(&k->store_timer, KEEPER_AGAIN_MS);
	}
}

static void
probe_store(void *arg)
{
	struct keeper *k = arg;
	custody_commit(k->custody, NULL, 0, on_probe, k);
}

static bool
limit_of(void *arg, struct slice site, struct schedule_limit *limit_out)
{
	const struct keeper *k = arg;
	for (size_t i = 0; i < k->settings.n_sites; i++) {
		const struct queue_site *s = &k->settings.sites[i];
		if (!slice_eq(s->site, site))
			continue;
		*limit_out = (struct schedule_limit){
			.connections = s->connections, .rate = s->rate, .rate_ms = s->rate_ms};
		return true;
	}
	return false;
}

static struct schedule_config
schedule_config_of(const struct queue_settings *s)
{
	struct schedule_config c = {.retry_ms = s->queue.retry_ms,
		.retry_most_ms = s->queue.retry_most_ms,
		.attempts_most = (unsigned)s->queue.attempts,
		.site_most = SITE_MOST,
		.site_first = SITE_FIRST};
	must(getrandom(&c.seed, sizeof(c.seed), 0) == (ssize_t)sizeof(c.seed));
	return c;
}

/* 0, or -1 and err: then all is as it was. Owns fd. */
static int
take_settings(struct keeper *k, int fd, struct err *err)
{
	struct queue_settings s;
	struct arena *a = arena_new(2 * (size_t)QUEUE_SETTINGS_MOST);
	struct failure_rules *rules = failure_rules_new(err);
	if (queue_settings_receive(fd, a, &s, err) < 0 || rules == NULL ||
		(s.queue.failure_rules.n != 0 &&
			failure_rules_add_text(
				rules, s.queue.failure_rules, "failure rules", err) < 0)) {
		failure_rules_free(&rules);
		arena_free(&a);
		return -1;
	}
	failure_rules_free(&k->rules);
	arena_free(&k->settings_arena);
	k->rules = rules;
	k->settings_arena = a;
	k->settings = s;
	struct schedule_config c = schedule_config_of(&s);
	if (k->schedule == NULL)
		k->schedule = schedule_new(&c, limit_of, k);
	else
		schedule_configure(k->schedule, &c);
	return 0;
}

static void
on_settings(void *arg, int fd)
{
	struct keeper *k = arg;
	struct err err;
	if (take_settings(k, fd, &err) < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	else
		spam_desk_domains(k->spam, k->settings.models, k->settings.n_models);
	keeper_pump(k);
}

static void
on_message(void *arg, struct service_client *from, struct ipc_msg *m)
{
	struct keeper *k = arg;
	struct err err;
	switch (m->type) {
	case QUEUE_MSG_TAKE: take_message(k, from, m); break;
	case QUEUE_MSG_CANCEL: take_cancel(k, from, m->id); break;
	default:
		if (state_desk_message(k->desk, from, m))
			break;
		err_set(&err, "a session sent a message of unknown type %u", (unsigned)m->type);
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	}
}

static void
on_client_gone(void *arg, struct service_client *client)
{
	struct keeper *k = arg;
	take_client_gone(k, client);
	state_desk_client_gone(k->desk, client);
}

static struct slice
egress_words(void *arg, struct arena *a)
{
	struct keeper *k = arg;
	return egress_text(k->egress, loop_now(k->loop), a);
}

static enum egress_state
egress_now(void *arg)
{
	struct keeper *k = arg;
	return egress_state(k->egress);
}

static const struct queue_settings *
settings_now(void *arg)
{
	struct keeper *k = arg;
	return &k->settings;
}

/* For `why`, which asks for one recipient after the other of one mail. */
static uint32_t
part_of(void *arg, const struct stored_mail *m, const struct stored_note *n, size_t rcpt)
{
	struct keeper *k = arg;
	struct parted *c = &k->parted;
	(void)n;
	if (c->arena == NULL || c->mail != m || c->n != m->n_rcpts || rcpt <= c->last) {
		struct division *d;
		arena_free(&c->arena);
		c->arena = arena_new(64 * 1024 * 1024);
		c->part = arena_array(c->arena, m->n_rcpts, sizeof(*c->part));
		size_t parts = divide_mail(m, c->arena, &d);
		for (size_t i = 0; i < parts; i++)
			for (uint32_t r = 0; r < d[i].n; r++)
				c->part[d[i].rcpts[r]] = (uint32_t)i;
		c->mail = m;
		c->n = m->n_rcpts;
	}
	c->last = rcpt;
	return c->part[rcpt];
}

static bool
other_by_hand(void *arg, uint32_t uid, const struct ipc_msg *m, hand_other_fn *fn, void *fn_arg)
{
	struct keeper *k = arg;
	return state_desk_hand(k->desk, uid, m, fn, fn_arg) ||
	       spam_desk_hand(k->spam, uid, m, fn, fn_arg);
}

static void
open_hand(struct keeper *k, int fd, const char *user)
{
	k->hand = hand_new(&(struct hand_config){.loop = k->loop,
		.listen_fd = fd,
		.custody = k->custody,
		.schedule = k->schedule,
		.act = act_by_hand,
		.user = user,
		.fill = quarantine_fill,
		.part_of = part_of,
		.settings = settings_now,
		.egress_state = egress_now,
		.egress_text = egress_words,
		.other = other_by_hand,
		.arg = k});
}

static int
enter_sandbox(const struct keeper_start *s, struct err *err)
{
	struct sandbox_spec spec;
	char spool[32]; /* the folder that is open, whoever may walk the path to it */
	const char *writable[] = {spool, NULL};
	snprintf(spool, sizeof(spool), "/proc/self/fd/%d", s->spool);
	sandbox_spec_of(SANDBOX_KEEPER, &spec);
	spec.writable = writable;
	return sandbox_lock(&spec, err);
}

/* The store's threads are started inside the sandbox: Landlock holds for a thread and those it
 * starts. */
static int
keeper_open(struct keeper *k, const struct keeper_start *s, struct err *err)
{
	k->loop = loop_new(err);
	if (k->loop == NULL)
		return -1;
	loop_task_init(&k->pump_task, k->loop, pump, k);
	loop_task_init(&k->reap_task, k->loop, keeper_reap, k);
	loop_timer_init(&k->pump_timer, k->loop, pump, k);
	loop_timer_init(&k->round_timer, k->loop, watch_round, k);
	loop_timer_init(&k->store_timer, k->loop, probe_store, k);
	TAILQ_INIT(&k->cache);
	k->egress = egress_new();
	int settings = queue_settings_send(s->settings, err);
	if (settings < 0 || take_settings(k, settings, err) < 0)
		return -1;
	k->signer = peer_new(k->loop, "signer", 256);
	k->scanner = peer_new(k->loop, "scanner", KEEPER_SCANS_MOST);
	k->service = service_new(k->loop, s->control_fd, on_message, on_client_gone, k);
	service_on_peer(k->service, keeper_on_peer);
	service_on_settings(k->service, on_settings);
	tzset(); /* quotas go by local time, whose file is not shown in the sandbox */
	if (enter_sandbox(s, err) < 0)
		return -1;
	k->tmp_dir = fcntl(s->spool, F_DUPFD_CLOEXEC, 0);
	if (k->tmp_dir < 0)
		return err_sys(err, "open the spool once more");
	k->custody =
		s->open(&(struct segments_config){.loop = k->loop, .dir_fd = s->spool}, err);
	if (k->custody == NULL)
		return -1;
	k->desk = state_desk_new(k->loop, s->spool); /* the spool is ours alone by now */
	k->spam = spam_desk_new(k->loop, s->spool, s->spam, err);
	if (k->spam == NULL)
		return -1;
	spam_desk_domains(k->spam, k->settings.models, k->settings.n_models);
	open_hand(k, s->hand, s->user);
	return 0;
}

static bool
is_busy(const struct keeper *k)
{
	const struct mail *m;
	if (k->in_flight != 0 || drops_open(k) || !LIST_EMPTY(&k->takes))
		return true;
	for (size_t i = 0; i < KEEPER_BUCKETS; i++)
		LIST_FOREACH (m, &k->mails[i], link)
			if (m->users != 0)
				return true;
	return false;
}

static void
on_ending(void *arg)
{
	struct keeper *k = arg;
	if (is_busy(k) && loop_now(k->loop) < k->end_ms)
		loop_timer_set(&k->pump_timer, ENDING_MS);
	else
		loop_stop(k->loop);
}

/*
 * Delivery processes stop too: what is final is waited for, there. What became of it is stored
 * before the end; a store that does not take it has its time too.
 */
static int
keeper_end(struct keeper *k, struct err *err)
{
	k->stopping = true;
	k->end_ms = loop_now(k->loop) + ENDING_MOST_MS;
	take_close_all(k);
	loop_timer_clear(&k->pump_timer);
	loop_timer_clear(&k->round_timer);
	loop_timer_init(&k->pump_timer, k->loop, on_ending, k);
	loop_timer_set(&k->pump_timer, 1);
	return loop_run(k->loop, err);
}

static int
keeper_run(struct keeper *k, struct err *err)
{
	watch_start(k);
	int result = loop_run(k->loop, err);
	return result == 0 ? keeper_end(k, err) : result;
}

static void
keeper_close(struct keeper *k)
{
	hand_free(&k->hand);
	if (k->tmp_dir > 0)
		close(k->tmp_dir);
	store_commits_close(k);
	custody_close(&k->custody); /* open calls are answered first */
	mail_forget_all(k);
	drops_close(k);
	take_forget_waits(k);
	keeper_outlets_close(k);
	peer_free(&k->signer);
	peer_free(&k->scanner);
	service_free(&k->service);
	state_desk_free(&k->desk);
	spam_desk_free(&k->spam);
	loop_timer_clear(&k->pump_timer);
	loop_timer_clear(&k->round_timer);
	loop_timer_clear(&k->store_timer);
	loop_task_clear(&k->pump_task);
	loop_task_clear(&k->reap_task);
	schedule_free(&k->schedule);
	egress_free(&k->egress);
	failure_rules_free(&k->rules);
	arena_free(&k->settings_arena);
	arena_free(&k->parted.arena);
	loop_free(&k->loop);
}

int
keeper_main(void *arg)
{
	struct keeper *k = MEM_NEW(struct keeper);
	struct err err;
	int result = keeper_open(k, arg, &err);
	if (result == 0)
		result = keeper_run(k, &err);
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	keeper_close(k);
	mem_free(k);
	return result < 0 ? 1 : 0;
}
