/*
 * What people do to the mails that are kept for them: they are shown them, let them go, or send
 * a copy to somebody of their own. Each of these asks rescan.c first, whoever asks for it and
 * by whichever command. A release is one commit: the mail as one that is sent, with who let it
 * go and when, in place of the one that was kept. A copy is stored in one commit with the line
 * that tells of it. And how much there is of it all, against `quarantine size`.
 */
#include "base/mem.h"
#include "base/must.h"
#include "queue/dsn_priv.h"
#include "queue/hand_words.h"
#include "queue/keeper_priv.h"

/* ---- who may ---- */

/* ACT_DONE: nothing stands against it. */
static enum act_result
may_leave(struct mail *m, const struct hand_act *act, struct slice *why)
{
	enum rescan r = rescan(m);
	*why = m->rescan_why;
	switch (r) {
	case RESCAN_LATER: return ACT_LATER;
	case RESCAN_CLEAN:
	case RESCAN_NO_FILTER: return ACT_DONE;
	case RESCAN_UNSCANNABLE: return act->unscannable ? ACT_DONE : ACT_REFUSED;
	case RESCAN_INFECTED:
	case RESCAN_NOT_NOW: break;
	}
	return ACT_REFUSED;
}

/* What the scanner has said, for the log and for those who come later. */
static const char *
scan_text(struct mail *m)
{
	switch (rescan(m)) {
	case RESCAN_NO_FILTER: return "not scanned: no virus filter";
	case RESCAN_UNSCANNABLE: return "not scanned in whole";
	case RESCAN_CLEAN:
	case RESCAN_LATER:
	case RESCAN_INFECTED:
	case RESCAN_NOT_NOW: break;
	}
	return "scanned";
}

static void
log_act(struct mail *m, const struct hand_act *act, const char *what,
	const struct custody_id *as)
{
	char id[CUSTODY_ID_TEXT];
	struct log_line l;
	log_begin(&l, EV_QUARANTINE, NULL);
	log_slice(&l, "mail", m->mail.log);
	log_text(&l, "id", custody_id_text(&m->id, id));
	log_text(&l, "what", what);
	log_slice(&l, "by", act->by);
	log_slice(&l, "name", m->mail.quarantine);
	log_slice(&l, "rule", m->mail.reason);
	if (act->to.n != 0)
		log_slice(&l, "to", act->to);
	if (as != NULL)
		log_text(&l, "as", custody_id_text(as, id));
	log_text(&l, "scan", scan_text(m));
	log_end(&l);
}

/* "2026-11-29T07:02:08Z released by root, for anna; scanned" */
static struct slice
told(struct mail *m, const struct hand_act *act, const char *what)
{
	char time[HAND_TIME_BYTES];
	struct arena *a = m->holding->arena;
	return stored_history(m->note.history,
		arena_printf(a, "%s %s%s%.*s by %.*s; %s",
			hand_time((uint64_t)keeper_wall(m->keeper), time), what,
			act->to.n != 0 ? " to " : "", SLICE_ARG(act->to), SLICE_ARG(act->by),
			scan_text(m)),
		a);
}

enum act_result
quarantine_look(struct mail *m, const struct hand_act *act, struct slice *why)
{
	enum act_result r = may_leave(m, act, why);
	if (r == ACT_DONE)
		log_act(m, act, "shown", NULL);
	return r;
}

/* ---- out of it ---- */

/* LATER: its body is on its way, and the action will be tried again. */
static enum act_result
may_leave_whole(struct mail *m, const struct hand_act *act, struct slice *why)
{
	enum act_result may = may_leave(m, act, why);
	if (may != ACT_DONE)
		return may;
	if (!mail_body(m, UINT32_MAX))
		return ACT_LATER;
	if (m->body_place == BODY_HERE)
		return ACT_DONE;
	*why = SLICE("its body cannot be read");
	return ACT_FAILED;
}

/* A mail that is put in the store, for one that is in quarantine. */
struct leaving {
	struct mail *mail;
	const struct hand_act *act;
	struct hand_work *work;
	struct custody_id id;
	struct stored_mail stored;
	struct stored_note note;
	struct relay_body body;
	struct slice history; /* FORWARD: before it */
	struct buf envelope, packed;
};

static struct leaving *
leaving_new(struct mail *m, const struct hand_act *act, struct hand_work *w)
{
	struct leaving *l = MEM_NEW(struct leaving);
	*l = (struct leaving){.mail = m,
		.act = act,
		.work = w,
		.id = custody_id_new(),
		.stored = m->mail,
		.body = m->body};
	l->stored.kind = STORED_SEND;
	l->stored.arrived_ms = (uint64_t)keeper_wall(m->keeper);
	buf_init(&l->envelope, CUSTODY_ENVELOPE_MOST);
	buf_init(&l->packed, CUSTODY_NOTE_MOST);
	return l;
}

static void
leaving_free(struct leaving *l)
{
	buf_fini(&l->envelope);
	buf_fini(&l->packed);
	mem_free(l);
}

/* It is in the store, or why it is not. */
static void
leaving_end(struct leaving *l, enum custody_result r, struct slice why)
{
	struct mail *m = l->mail;
	m->users--;
	if (r != CUSTODY_OK && r != CUSTODY_FULL)
		store_failed(m->keeper, why);
	if (r == CUSTODY_OK)
		mail_schedule_stored(m->keeper, &l->id, &l->stored, &l->note);
	act_end(l->work, r == CUSTODY_OK ? ACT_DONE : ACT_FAILED,
		r == CUSTODY_FULL ? SLICE("the spool is full") : SLICE_NONE);
	leaving_free(l);
}

static void
on_released(void *arg, enum custody_result r, struct slice why)
{
	struct leaving *l = arg;
	struct mail *m = l->mail;
	if (r == CUSTODY_OK) {
		log_act(m, l->act, "released", &l->id);
		quarantine_remove(m->keeper, m->body_bytes);
		m->place = MAIL_GONE;
	}
	leaving_end(l, r, why);
	mail_idle(m);
}

enum act_result
quarantine_release(
	struct mail *m, const struct hand_act *act, struct hand_work *w, struct slice *why)
{
	struct arena *a = m->holding->arena;
	enum act_result may = may_leave_whole(m, act, why);
	if (may != ACT_DONE)
		return may;
	struct leaving *l = leaving_new(m, act, w);
	l->stored.quarantine = SLICE_NONE;
	must(stored_note_unpack(SLICE_NONE, &l->stored, a, &l->note));
	l->note.by = act->by;
	l->note.by_ms = l->stored.arrived_ms;
	l->note.scanned = m->note.scanned;
	l->note.history = told(m, act, "released");
	must(stored_note_pack(&l->note, &l->packed) == 0);
	if (stored_mail_pack(&l->stored, &l->envelope) <
		0) { /* of an earlier release, and full */
		leaving_free(l);
		*why = SLICE("its envelope is too large");
		return ACT_FAILED;
	}
	struct custody_change changes[2] = {{.op = CUSTODY_PUT,
						    .id = l->id,
						    .envelope = buf_slice(&l->envelope),
						    .note = buf_slice(&l->packed),
						    .body = &l->body},
		{.op = CUSTODY_DROP, .id = m->id}};
	m->users++;
	store_commit(m->keeper, changes, 2, on_released, l);
	return ACT_LATER;
}

/* ---- a copy to somebody of ours ---- */

/* The declared domain's number; SIZE_MAX: there is none of that name. */
static size_t
domain_of(const struct keeper *k, struct slice name)
{
	for (size_t i = 0; i < k->settings.n_domains; i++)
		if (slice_eq_nocase(k->settings.domains[i], name))
			return i;
	return SIZE_MAX;
}

/* RFC 5322 3.6.6: who reads it has to see that it did not come to him by itself. */
static struct slice
resent_lines(struct mail *m, const struct leaving *l)
{
	struct buf lines;
	struct arena *a = m->holding->arena;
	buf_init(&lines, 4 * 1024);
	dsn_put(&lines, SLICE("Resent-Date: "));
	dsn_put_date(&lines, l->stored.arrived_ms);
	dsn_put(&lines, SLICE("\r\nResent-From: Mail gateway <postmaster@"));
	dsn_put_clean(&lines, m->keeper->settings.hostname, DSN_HOST_MOST, false);
	dsn_put(&lines, SLICE(">\r\nResent-To: <"));
	dsn_put_clean(&lines, l->stored.rcpts[0].address.raw, DSN_ADDRESS_MOST, false);
	dsn_put(&lines, SLICE(">\r\n"));
	struct slice text = arena_slice(a, buf_slice(&lines));
	buf_fini(&lines);
	return text;
}

/* The envelope of the copy: from nobody, so that no failure of it is told to a stranger. */
static bool
address_copy(struct mail *m, struct leaving *l)
{
	struct keeper *k = m->keeper;
	struct arena *a = m->holding->arena;
	struct stored_rcpt *r = ARENA_NEW(a, struct stored_rcpt);
	size_t domain = SIZE_MAX;
	if (address_parse(l->act->to, false, a, &r->address) == ADDRESS_OK)
		domain = domain_of(k, r->address.domain);
	if (domain == SIZE_MAX)
		return false;
	r->site = k->settings.domains[domain];
	/* Behind a filter the route is how everything goes back to the MTA. */
	bool back = !k->settings.delivers[domain] && m->mail.route.n != 0;
	r->way = back ? DELIVERY_BY_ROUTE : DELIVERY_BY_DOMAIN;
	l->stored.route = back ? m->mail.route : SLICE_NONE;
	l->stored.direction = INBOUND;
	l->stored.own = l->stored.notification = false;
	l->stored.user = SLICE_NONE;
	l->stored.sender = (struct address){.is_null = true};
	l->stored.params = (struct smtp_mail_params){
		.body = m->mail.params.body, .smtputf8 = m->mail.params.smtputf8};
	l->stored.rcpts = r;
	l->stored.n_rcpts = 1;
	return true;
}

static void
on_forwarded(void *arg, enum custody_result r, struct slice why)
{
	struct leaving *l = arg;
	struct mail *m = l->mail;
	m->telling = false;
	if (r == CUSTODY_OK)
		log_act(m, l->act, "forwarded", &l->id);
	else
		m->note.history = l->history;
	leaving_end(l, r, why);
	if (m->dirty && r == CUSTODY_OK)
		mail_save(m);
	mail_idle(m);
}

/* With the copy goes the note of the mail that it is of: no copy that is not told of there. */
static enum act_result
store_copy(struct mail *m, struct leaving *l)
{
	l->history = m->note.history;
	m->note.history = told(m, l->act, "forwarded");
	must(stored_note_pack(&m->note, &l->packed) == 0);
	struct custody_change changes[2] = {{.op = CUSTODY_PUT,
						    .id = l->id,
						    .envelope = buf_slice(&l->envelope),
						    .body = &l->body},
		{.op = CUSTODY_NOTE, .id = m->id, .note = buf_slice(&l->packed)}};
	m->dirty = false;
	m->telling = true; /* a note of meanwhile would be overtaken by this one */
	m->users++;
	store_commit(m->keeper, changes, 2, on_forwarded, l);
	return ACT_LATER;
}

enum act_result
quarantine_forward(
	struct mail *m, const struct hand_act *act, struct hand_work *w, struct slice *why)
{
	struct arena *a = m->holding->arena;
	enum act_result may = may_leave_whole(m, act, why);
	if (may != ACT_DONE)
		return may;
	struct leaving *l = leaving_new(m, act, w);
	if (!address_copy(m, l)) {
		leaving_free(l);
		*why = SLICE("that is no address in a declared domain");
		return ACT_REFUSED;
	}
	relay_body_init(&l->body, a);
	bool fits = relay_body_add(&l->body, resent_lines(m, l)) == 0 &&
		    relay_body_add_all(&l->body, &m->body) == 0;
	must(stored_note_unpack(SLICE_NONE, &l->stored, a, &l->note));
	if (fits && stored_mail_pack(&l->stored, &l->envelope) == 0)
		return store_copy(m, l);
	leaving_free(l);
	*why = SLICE("its parts are too many");
	return ACT_FAILED;
}

/* ---- how much there is ---- */

static void
log_fill(struct keeper *k, enum log_event ev)
{
	struct log_line l;
	log_begin(&l, ev, NULL);
	log_number(&l, "mails", (int64_t)k->kept.items);
	log_number(&l, "bytes", (int64_t)k->kept.bytes);
	log_number(&l, "most", (int64_t)k->settings.queue.quarantine_bytes);
	log_end(&l);
}

/* Told once, and again when so much was taken out that it is well below meanwhile. */
static void
tell_fill(struct keeper *k, bool refused)
{
	uint64_t most = k->settings.queue.quarantine_bytes, bytes = k->kept.bytes;
	if (k->loading) /* once, when all that is there is known */
		return;
	if (refused && k->kept_told < 2) {
		k->kept_told = 2;
		log_fill(k, EV_QUARANTINE_FULL);
	} else if (most != 0 && bytes >= most / 5 * 4 && k->kept_told == 0) {
		k->kept_told = 1;
		log_fill(k, EV_QUARANTINE_ROOM);
	}
}

void
quarantine_add(struct keeper *k, uint64_t bytes)
{
	k->kept.items++;
	k->kept.bytes += bytes;
	tell_fill(k, false);
}

void
quarantine_remove(struct keeper *k, uint64_t bytes)
{
	must(k->kept.items != 0 && k->kept.bytes >= bytes);
	k->kept.items--;
	k->kept.bytes -= bytes;
	if (k->kept.bytes < k->settings.queue.quarantine_bytes / 10 * 7)
		k->kept_told = 0;
}

bool
quarantine_has_room(struct keeper *k, uint64_t bytes)
{
	uint64_t most = k->settings.queue.quarantine_bytes;
	bool room = most == 0 || (k->kept.bytes <= most && bytes <= most - k->kept.bytes);
	tell_fill(k, !room);
	return room;
}

struct hand_fill
quarantine_fill(void *keeper)
{
	const struct keeper *k = keeper;
	struct hand_fill fill = k->kept;
	fill.most = k->settings.queue.quarantine_bytes;
	return fill;
}
