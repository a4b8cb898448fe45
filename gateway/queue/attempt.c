/*
 * One part of a mail on its way: to a delivery process and back. What the remote said of each
 * recipient goes to settle.c, what it says of the site to the schedule, what it says of the way
 * out to egress.c.
 */
#include <string.h>

#include "base/must.h"
#include "queue/keeper_priv.h"

/* A delivery process answers within its own budgets; this is for one that hangs. */
enum { DELIVERY_HANGS_MS = 20 * 60 * 1000, DEATHS_MOST = 2, DIED_AGAIN_MS = 5000 };

static void
result(struct mail *m, const struct part *p, enum schedule_outcome outcome, uint64_t due_ms)
{
	struct keeper *k = m->keeper;
	schedule_result(k->schedule, &m->id, (uint32_t)(p - m->parts), outcome, due_ms,
		loop_now(k->loop));
	keeper_pump(k);
}

/* Not tried after all: a little later. */
static void
put_off(struct mail *m, const struct part *p)
{
	result(m, p, SCHEDULE_AGAIN, loop_now(m->keeper->loop) + KEEPER_AGAIN_MS);
	mail_go_on(m);
}

/* Nobody of it waits any more, or may go now. */
static void
give_back(struct mail *m, const struct part *p)
{
	result(m, p, SCHEDULE_GONE, 0);
	mail_go_on(m);
}

static bool
was_tried(const struct mail *m, const struct part *p)
{
	for (uint32_t i = 0; i < p->division->n; i++)
		if (m->note.rcpts[p->division->rcpts[i]].attempts == 0)
			return false;
	return true;
}

static void
expire(struct mail *m, struct part *p)
{
	for (uint32_t i = 0; i < p->division->n; i++)
		if (mail_waits(&m->note.rcpts[p->division->rcpts[i]]))
			settle_expire(m, p->division->rcpts[i],
				"554 5.4.7 The time for this mail is over");
	mail_save(m);
}

/*
 * Who goes along: those that wait and go the same way as the first. To the smarthost all may
 * travel together; a mail for it that has to go by MX after all goes one domain at a time.
 */
static void
choose(struct mail *m, struct part *p)
{
	const struct division *d = p->division;
	const struct keeper *k = m->keeper;
	struct slice site = SLICE_NONE;
	p->n_asked = 0;
	p->asked = arena_array(m->holding->arena, d->n, sizeof(*p->asked));
	for (uint32_t i = 0; i < d->n; i++) {
		const struct stored_rcpt_note *r = &m->note.rcpts[d->rcpts[i]];
		const struct stored_rcpt *e = &m->mail.rcpts[d->rcpts[i]];
		if (!mail_waits(r))
			continue;
		if (p->n_asked == 0) {
			p->way = r->way;
			site = e->site;
		}
		bool together =
			p->way == DELIVERY_BY_SMARTHOST && k->settings.way != SEND_DIRECT;
		if (r->way == p->way &&
			(together || p->way == DELIVERY_BY_ROUTE || slice_eq(e->site, site)))
			p->asked[p->n_asked++] = d->rcpts[i];
	}
}

/*
 * A way out that is bad, and another one: there (DESIGN.md, "Knowing that the path is bad"). A
 * single mail tries it from time to time.
 */
static enum delivery_way
way_now(struct mail *m, const struct part *p)
{
	struct keeper *k = m->keeper;
	if (p->way != DELIVERY_BY_SEND || k->settings.way != SEND_DIRECT_THEN_SMARTHOST ||
		egress_state(k->egress) == EGRESS_OPEN)
		return p->way;
	return egress_retest(k->egress, loop_now(k->loop)) ? p->way : DELIVERY_BY_SMARTHOST;
}

static struct relay_rcpt *
asked_rcpts(struct mail *m, const struct part *p, struct arena *a)
{
	struct relay_rcpt *r = arena_array(a, p->n_asked, sizeof(*r));
	for (uint32_t i = 0; i < p->n_asked; i++) {
		r[i].address = m->mail.rcpts[p->asked[i]].address;
		r[i].params = m->mail.rcpts[p->asked[i]].params;
	}
	return r;
}

static void on_result(void *arg, struct ipc_msg *msg);

static struct outlet *
outlet_of(struct mail *m, const struct part *p)
{
	struct slice site = m->mail.rcpts[p->asked[0]].site;
	return keeper_outlet(m->keeper,
		p->way == DELIVERY_BY_SMARTHOST
			? (struct slice){(const char *)m->id.bytes, sizeof(m->id.bytes)}
			: site);
}

static uint64_t
memory_bytes(const struct relay_body *b)
{
	uint64_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		n += b->parts[i].fd < 0 ? b->parts[i].length : 0;
	return n;
}

/* 0: nobody took it. */
static uint32_t
ask(struct mail *m, struct part *p)
{
	bool large = memory_bytes(&m->body) > DELIVERY_INLINE_BYTES;
	if (large && mail_body_to_file(m) < 0)
		return 0;
	struct arena *a = arena_new(1024 * 1024);
	struct delivery_mail d = {.site = m->mail.rcpts[p->asked[0]].site,
		.log = m->mail.log,
		.way = p->way,
		.route = m->mail.route,
		.prefer = m->note.rcpts[p->asked[0]].address,
		.sender = m->mail.sender,
		.params = m->mail.params,
		.rcpts = asked_rcpts(m, p, a),
		.n_rcpts = p->n_asked,
		.body = large ? m->body_in_file : m->body};
	struct ipc_out out;
	struct slice payload;
	int fd = -1;
	uint32_t question = 0;
	p->outlet = outlet_of(m, p);
	ipc_out_init(&out);
	if (p->outlet != NULL && delivery_mail_pack(&d, &out, &fd) == 0 &&
		ipc_out_ok(&out, &payload))
		question = peer_ask(p->outlet->peer, DELIVERY_MSG_MAIL, payload, &fd,
			fd >= 0 ? 1 : 0, DELIVERY_HANGS_MS, on_result, p);
	ipc_out_fini(&out);
	arena_free(&a);
	return question;
}

/* Mails that a delivery process died with, or whose body could not be read: at the second time
 * they are held, with an alarm. */
static bool
is_suspect(struct keeper *k, const struct custody_id *id)
{
	for (size_t i = 0; i < KEEPER_SUSPECTS; i++)
		if (custody_id_eq(&k->suspects[i].id, id))
			return ++k->suspects[i].deaths >= DEATHS_MOST;
	k->suspects[k->next_suspect] = (struct suspect){*id, 1};
	k->next_suspect = (k->next_suspect + 1) % KEEPER_SUSPECTS;
	return false;
}

static void
unreadable(struct mail *m, struct part *p)
{
	struct err err;
	if (!is_suspect(m->keeper, &m->id)) { /* a disk may have hiccups */
		put_off(m, p);
		return;
	}
	err_set(&err, "a body in the spool cannot be read: its mail is held");
	log_error(EV_SPOOL, NULL, &err);
	m->note.held = true;
	mail_save(m);
	schedule_remove(m->keeper->schedule, &m->id);
	give_back(m, p);
}

void
attempt_begin(struct mail *m, uint32_t part)
{
	struct keeper *k = m->keeper;
	if (m->place == MAIL_LOADING) {
		mail_wait_part(m, part);
		return;
	}
	if (m->place == MAIL_GONE || part >= m->n_parts) {
		schedule_result(k->schedule, &m->id, part,
			m->unread ? SCHEDULE_AGAIN : SCHEDULE_GONE,
			loop_now(k->loop) + KEEPER_AGAIN_MS, loop_now(k->loop));
		mail_idle(m);
		return;
	}
	struct part *p = &m->parts[part];
	must(!p->in_flight);
	choose(m, p);
	if (p->n_asked == 0 || m->note.held) {
		give_back(m, p);
		return;
	}
	if ((mail_is_over(k, &m->mail) && was_tried(m, p)) || m->note.expire) {
		expire(m, p);
		give_back(m, p);
		return;
	}
	if (!mail_body(m, part))
		return; /* again when it is here */
	if (m->body_place == BODY_LOST) {
		unreadable(m, p);
		return;
	}
	p->way = way_now(m, p);
	p->question = m->body_place == BODY_HERE ? ask(m, p) : 0;
	if (p->question == 0) {
		put_off(m, p);
		return;
	}
	p->in_flight = true;
	p->outlet->open++;
	m->in_flight++;
	k->in_flight++;
}

void
attempt_cancel(struct mail *m)
{
	for (uint32_t i = 0; i < m->n_parts; i++)
		if (m->parts[i].in_flight)
			(void)peer_tell(m->parts[i].outlet->peer, DELIVERY_MSG_CANCEL,
				m->parts[i].question, SLICE_NONE);
}

/* Nobody can say what became of it; its final dot may have been out (RFC 1047). */
static void
died(struct mail *m, struct part *p)
{
	struct keeper *k = m->keeper;
	uint64_t now = (uint64_t)keeper_wall(k);
	for (uint32_t i = 0; i < p->n_asked; i++) {
		struct stored_rcpt_note *r = &m->note.rcpts[p->asked[i]];
		r->state = RCPT_DOUBT;
		r->attempts++;
		r->last_ms = now;
		r->due_ms = now + DIED_AGAIN_MS;
		r->failure = (struct failure){.class = FAILURE_BUSY, .about = ABOUT_THE_WAY};
		r->reply = smtp_reply_of("451 4.3.0 The delivery was interrupted");
		r->from_hop = false;
		r->host = SLICE_NONE;
	}
	if (is_suspect(k, &m->id)) {
		keeper_log(m, "held: two delivery processes ended with it",
			&m->note.rcpts[p->asked[0]], NULL);
		m->note.held = true;
		schedule_remove(k->schedule, &m->id);
		result(m, p, SCHEDULE_GONE, 0);
		return;
	}
	result(m, p, SCHEDULE_AGAIN, loop_now(k->loop) + DIED_AGAIN_MS);
}

/*
 * The site as a whole could not be reached. Not so TLS: only a destination that demands it
 * fails there, and others may share its servers.
 */
static bool
is_site_failure(enum failure_phase at)
{
	return at == FAILURE_AT_DNS || at == FAILURE_AT_CONNECT || at == FAILURE_AT_GREETING ||
	       at == FAILURE_AT_AUTH;
}

/* True: the way out is bad from here on, and there is another. */
static bool
tell_egress(struct mail *m, struct part *p, const struct delivery_result *r)
{
	struct keeper *k = m->keeper;
	if (p->way != DELIVERY_BY_SEND || k->settings.way == SEND_SMARTHOST || r->mx_set == 0)
		return false;
	struct egress_evidence v = {.site = m->mail.rcpts[p->asked[0]].site,
		.mx_set = r->mx_set,
		.reached = r->banner.n != 0,
		.unreachable = r->banner.n == 0 && r->at == FAILURE_AT_CONNECT,
		.banner = r->banner,
		.starttls = r->starttls,
		.no_hello = r->at == FAILURE_AT_GREETING,
		.certificate = r->certificate};
	for (uint32_t i = 0; i < p->n_asked; i++)
		v.listed = v.listed ||
			   (m->note.rcpts[p->asked[i]].failure.class == FAILURE_LISTED &&
				   mail_waits(&m->note.rcpts[p->asked[i]]) && r->from_hop);
	if (!egress_note(k->egress, &v, loop_now(k->loop)))
		return false;
	struct arena *a = arena_new(256 * 1024);
	struct log_line l;
	log_begin(&l, EV_EGRESS, NULL);
	log_text(&l, "state", egress_state_text(egress_state(k->egress)));
	log_slice(&l, "evidence", egress_text(k->egress, loop_now(k->loop), a));
	log_end(&l);
	arena_free(&a);
	bool moves = egress_state(k->egress) != EGRESS_OPEN &&
		     k->settings.way == SEND_DIRECT_THEN_SMARTHOST;
	if (moves)
		watch_divert(k);
	return moves;
}

/* It was not the site: what waits for it goes the other way now, see way_now. */
static void
divert(struct mail *m, const struct part *p)
{
	for (uint32_t i = 0; i < p->n_asked; i++) {
		struct stored_rcpt_note *n = &m->note.rcpts[p->asked[i]];
		if (mail_waits(n))
			n->due_ms = n->last_ms;
	}
	schedule_site_retry(m->keeper->schedule, m->mail.rcpts[p->asked[0]].site,
		loop_now(m->keeper->loop));
}

/* When the recipients that still wait are due, by the clock; 0: none waits. */
static uint64_t
next_due(const struct mail *m, const struct part *p)
{
	uint64_t due = 0;
	for (uint32_t i = 0; i < p->division->n; i++) {
		const struct stored_rcpt_note *r = &m->note.rcpts[p->division->rcpts[i]];
		if (mail_waits(r) && (due == 0 || r->due_ms < due))
			due = r->due_ms != 0 ? r->due_ms : 1;
	}
	return due;
}

/* Those that wait first go another way from here on: to the smarthost. */
static bool
has_turned(const struct mail *m, const struct part *p)
{
	for (uint32_t i = 0; i < p->division->n; i++) {
		const struct stored_rcpt_note *r = &m->note.rcpts[p->division->rcpts[i]];
		if (mail_waits(r))
			return r->way != p->way && r->way == DELIVERY_BY_SMARTHOST;
	}
	return false;
}

/* The remote has too much to do; a mailbox that is locked (X.1.X, X.2.X) says nothing of it. */
static bool
is_busy(const struct stored_rcpt_note *n)
{
	bool mailbox = n->reply.has_enhanced &&
		       (n->reply.enhanced[1] == 1 || n->reply.enhanced[1] == 2);
	return mail_waits(n) && n->failure.class == FAILURE_BUSY && !mailbox;
}

/* What it says of the site, and when the rest of the part is due. */
static void
tell_schedule(struct mail *m, struct part *p, const struct delivery_result *r)
{
	struct keeper *k = m->keeper;
	bool worked = !is_site_failure(r->at) || r->reply.code / 100 == 2, busy = false;
	for (uint32_t i = 0; i < p->n_asked; i++) {
		const struct stored_rcpt_note *n = &m->note.rcpts[p->asked[i]];
		worked = worked || n->state == RCPT_DELIVERED;
		busy = busy || is_busy(n);
	}
	if (r->mx_set != 0 && p->way == DELIVERY_BY_SEND)
		schedule_site_is(k->schedule, m->mail.rcpts[p->asked[0]].site, r->mx_set);
	uint64_t due = next_due(m, p);
	if (due == 0)
		result(m, p, SCHEDULE_GONE, 0);
	else
		result(m, p,
			!worked ? SCHEDULE_SITE_FAILS
			: busy  ? SCHEDULE_BUSY
				: SCHEDULE_AGAIN,
			keeper_mono(k, due));
}

/* Out of the one site's queue, into the other's; at once where the client still waits. */
static void
turn(struct mail *m, struct part *p)
{
	uint32_t part = (uint32_t)(p - m->parts);
	schedule_remove_part(m->keeper->schedule, &m->id, part);
	if (m->take == NULL || !take_try(m->take, m, part))
		mail_schedule(m, part);
}

static bool
understand(const struct part *p, struct ipc_msg *msg, struct arena *a,
	struct delivery_result *r_out)
{
	return msg != NULL && msg->type == DELIVERY_MSG_RESULT &&
	       delivery_result_unpack(arena_slice(a, msg->payload), a, r_out) &&
	       r_out->n_rcpts == p->n_asked;
}

static void
on_result(void *arg, struct ipc_msg *msg)
{
	struct part *p = arg;
	struct mail *m = p->mail;
	struct keeper *k = m->keeper;
	struct delivery_result r;
	p->in_flight = false;
	m->in_flight--;
	k->in_flight--;
	keeper_outlet_done(k, p->outlet);
	p->outlet = NULL;
	if (understand(p, msg, m->holding->arena, &r)) {
		for (uint32_t i = 0; i < p->n_asked; i++)
			settle_rcpt(m, p->asked[i], &r.rcpts[i], &r, p->way);
		bool moves = tell_egress(m, p, &r);
		tell_schedule(m, p, &r);
		if (moves)
			divert(m, p);
		if (moves || has_turned(m, p))
			turn(m, p);
	} else {
		died(m, p);
	}
	if (m->place == MAIL_STORED && !mail_is_final(m))
		mail_save(m);
	mail_go_on(m);
}
