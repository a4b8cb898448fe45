/*
 * The keeper's rounds over all that is stored: at the start everything into the schedule, later
 * age limits, delay notices, and whatever has no next event though it should have one (the
 * watchdog: every mail has a next event and a reason, in every state).
 */
#include "base/mem.h"
#include "queue/keeper_priv.h"

enum {
	START_PAGE = 1000,
	ROUND_PAGE = 500,
	ROUND_PAGE_MS = 50,
	ROUND_MS = 10 * 1000, /* of rest, and as many more as it had mails */
	ROUND_SOON_MS = 2 * 1000,
	ITEM_ARENA_MOST = 256 * 1024 * 1024,
};

static bool
read_item(const struct custody_item *item, struct arena *a, struct stored_mail *m,
	struct stored_note *n)
{
	return stored_mail_unpack(item->envelope, a, m) &&
	       stored_note_unpack(item->note, m, a, n);
}

/* Of another release, or damaged: told, and left where it is. */
static void
log_unreadable(const struct custody_item *item)
{
	char id[CUSTODY_ID_TEXT];
	struct log_line l;
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "what", "a stored mail cannot be read: it is left where it is");
	log_text(&l, "id", custody_id_text(&item->id, id));
	log_end(&l);
}

static void
restore(struct keeper *k, const struct custody_item *item, struct arena *a)
{
	struct stored_mail m;
	struct stored_note n;
	arena_reset(a);
	if (!read_item(item, a, &m, &n)) {
		log_unreadable(item);
		return;
	}
	k->loaded++;
	if (m.kind == STORED_QUARANTINE)
		quarantine_add(k, item->body_bytes);
	if (m.kind != STORED_QUARANTINE && !n.held)
		mail_schedule_stored(k, &item->id, &m, &n);
}

static void
start_done(struct keeper *k, const char *what)
{
	struct log_line l;
	struct schedule_counts c;
	schedule_counts(k->schedule, &c);
	log_begin(&l, EV_SPOOL, NULL);
	log_text(&l, "what", what);
	log_number(&l, "mails", (int64_t)k->loaded);
	log_number(&l, "parts", (int64_t)c.parts);
	log_number(&l, "memory", (int64_t)c.memory_bytes);
	log_end(&l);
	k->loading = false;
	(void)quarantine_has_room(k, 0); /* the log tells how much there is */
	service_ready(k->service);
	loop_timer_set(&k->round_timer, ROUND_MS);
	keeper_pump(k);
}

static void
on_start_page(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct keeper *k = arg;
	if (r != CUSTODY_OK) {
		store_failed(k, SLICE("the spool cannot be read through"));
		start_done(k, "only a part of the spool could be read");
		return;
	}
	struct arena *a = arena_new(ITEM_ARENA_MOST);
	for (size_t i = 0; i < n; i++)
		restore(k, &items[i], a);
	arena_free(&a);
	if (end)
		start_done(k, "read");
	else
		custody_scan(k->custody, next, START_PAGE, on_start_page, k);
}

void
watch_start(struct keeper *k)
{
	k->loading = true;
	custody_scan(k->custody, 0, START_PAGE, on_start_page, k);
}

/* NOTIFY=DELAY: somebody wants to know that it takes long. */
static bool
wants_delay_notice(
	const struct keeper *k, const struct stored_mail *m, const struct stored_note *n)
{
	if (!m->own || m->kind == STORED_QUARANTINE || k->settings.queue.delay_notice_ms == 0 ||
		!keeper_is_older(k, m->arrived_ms, k->settings.queue.delay_notice_ms))
		return false;
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (mail_waits(&n->rcpts[i]) && !n->rcpts[i].delay_told &&
			dsn_is_due(m, &m->rcpts[i], DSN_DELAYED))
			return true;
	return false;
}

/* A part that waits and stands nowhere: it has to. */
static void
look_for_forgotten(struct keeper *k, const struct custody_item *item,
	const struct stored_mail *m, const struct stored_note *n, struct arena *a)
{
	struct division *d;
	struct schedule_part p;
	struct schedule_why why;
	size_t parts = divide_mail(m, a, &d);
	for (size_t i = 0; i < parts; i++) {
		if (!mail_part(k, &item->id, m, n, &d[i], (uint32_t)i, a, &p))
			continue;
		schedule_why(k->schedule, &item->id, (uint32_t)i, loop_now(k->loop), &why);
		if (!why.known)
			(void)schedule_add(k->schedule, &p, loop_now(k->loop));
	}
}

/* Its sites are not to blame, nor do they know of the smarthost. */
static void
divert(struct keeper *k, const struct custody_item *item, const struct stored_mail *m,
	const struct stored_note *n)
{
	bool any = false;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		if (!mail_waits(&n->rcpts[i]) || n->rcpts[i].way != DELIVERY_BY_SEND)
			continue;
		schedule_site_retry(k->schedule, m->rcpts[i].site, loop_now(k->loop));
		any = true;
	}
	if (any)
		schedule_due(k->schedule, &item->id, 0, loop_now(k->loop));
}

static void
look(struct keeper *k, const struct custody_item *item, struct arena *a)
{
	struct stored_mail m;
	struct stored_note n;
	struct mail *here = mail_find(k, &item->id);
	arena_reset(a);
	if (here != NULL && here->settle_later) {
		here->settle_later = here->take != NULL; /* when it is idle, or now */
		k->round_soon = true;
	}
	if (here != NULL) {
		/* Attempts are under way that may take long: the others are told of now. */
		if (here->take == NULL && here->in_flight != 0 && settle_is_due(here))
			settle(here);
		return;
	}
	if (!read_item(item, a, &m, &n))
		return;
	if (mail_is_over(k, &m) || wants_delay_notice(k, &m, &n) || n.expire ||
		mail_is_untold(&n))
		act_review(k, &item->id);
	else if (m.kind != STORED_QUARANTINE && !n.held)
		look_for_forgotten(k, item, &m, &n, a);
	if (k->diverting != 0 && m.kind == STORED_SEND && !n.held)
		divert(k, item, &m, &n);
}

static void
on_round_page(void *arg, enum custody_result r, const struct custody_item *items, size_t n,
	uint64_t next, bool end)
{
	struct keeper *k = arg;
	struct arena *a = arena_new(ITEM_ARENA_MOST);
	for (size_t i = 0; r == CUSTODY_OK && i < n; i++)
		look(k, &items[i], a);
	arena_free(&a);
	k->round_from = r == CUSTODY_OK && !end ? next : 0;
	k->round_seen += n;
	if (end && k->diverting != 0)
		k->diverting--;
	loop_timer_set(&k->round_timer, k->round_from != 0 ? ROUND_PAGE_MS
					: k->round_soon    ? ROUND_SOON_MS
							   : ROUND_MS + k->round_seen);
	if (k->round_from == 0) {
		k->round_soon = false;
		k->round_seen = 0;
	}
	keeper_pump(k);
}

void
watch_round(void *keeper)
{
	struct keeper *k = keeper;
	if (k->stopping)
		return;
	/* A hundred thousand may be over at the same time: what the last page began comes
	 * first. */
	if (k->loads + k->notices > KEEPER_LOADS_MOST || k->store_bad)
		loop_timer_set(&k->round_timer, ROUND_PAGE_MS);
	else
		custody_scan(k->custody, k->round_from, ROUND_PAGE, on_round_page, k);
}

void
watch_soon(struct keeper *k)
{
	if (k->round_soon)
		return;
	k->round_soon = true; /* after the one under way, if there is one */
	if (k->round_from == 0 && loop_timer_is_set(&k->round_timer) && !k->stopping)
		loop_timer_set(&k->round_timer, ROUND_SOON_MS);
}

void
watch_divert(struct keeper *k)
{
	k->diverting = 2; /* one may be half through */
	k->round_from = 0;
	if (!k->loading)
		loop_timer_set(&k->round_timer, ROUND_PAGE_MS);
}
