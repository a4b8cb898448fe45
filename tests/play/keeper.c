/* A scripted keeper; see keeper.h. */
#include "keeper.h"

#include "base/must.h"
#include "filters/batv.h"

static struct slice
word(struct slice *rest)
{
	struct slice one;
	slice_cut(slice_trim(*rest), ' ', &one, rest);
	*rest = slice_trim(*rest);
	return one;
}

static bool
read_end(struct slice text, enum queue_end *out)
{
	for (*out = 0; *out < QUEUE_ENDS; ++*out)
		if (slice_eq(text, slice_of(queue_end_text(*out))))
			return true;
	return false;
}

bool
keeper_add(struct keeper *k, bool remote, struct slice words)
{
	must(k->n_answers < KEEPER_ANSWERS_MOST);
	struct keeper_answer *a = &k->answers[k->n_answers++];
	*a = (struct keeper_answer){0};
	if (slice_starts(words, SLICE("after "))) {
		word(&words);
		if (!slice_u64(word(&words), &a->after_ms))
			return false;
	}
	struct slice first = word(&words);
	if (slice_eq(first, SLICE("gone"))) {
		a->gone = true;
		return true;
	}
	if (remote || slice_eq(first, SLICE("rcpt")))
		a->address = remote ? first : word(&words);
	else if (!read_end(first, &a->end))
		return false;
	a->gone = remote && slice_eq(words, SLICE("silent"));
	return a->gone || smtp_reply_parse_text(words, &a->reply);
}

static struct keeper_answer *
find(struct keeper *k, struct slice address)
{
	for (size_t i = 0; i < k->n_answers; i++) {
		struct keeper_answer *a = &k->answers[i];
		if (a->used || !slice_eq(a->address, address))
			continue;
		a->used = true;
		return a;
	}
	return NULL;
}

const struct keeper_answer *
keeper_unused(const struct keeper *k)
{
	for (size_t i = 0; i < k->n_answers; i++)
		if (!k->answers[i].used)
			return &k->answers[i];
	return NULL;
}

/* --- what came, as lines */

static void
line(struct keeper *k, struct slice text)
{
	must(k->n_took < KEEPER_LINES_MOST);
	k->took[k->n_took++] = text;
}

static void
tell_fate(struct keeper *k, const struct queue_parcel *p)
{
	const struct stored_mail *m = &p->mail;
	struct slice own = m->own ? SLICE(" own") : SLICE_NONE, how = SLICE_NONE;
	if (p->beside)
		line(k, SLICE("beside"));
	if (m->route.n != 0)
		how = arena_printf(k->arena, " route %.*s", SLICE_ARG(m->route));
	if (p->refused)
		line(k, arena_printf(k->arena, "refused%.*s %.*s", SLICE_ARG(own),
				SLICE_ARG(smtp_reply_line(&p->reply, k->arena))));
	else if (m->kind == STORED_QUARANTINE)
		line(k, arena_printf(k->arena, "quarantine%.*s \"%.*s\" %.*s", SLICE_ARG(own),
				SLICE_ARG(m->quarantine), SLICE_ARG(m->reason)));
	else if (m->kind == STORED_HOLD)
		line(k, arena_printf(k->arena, "hold%.*s until +%lld%.*s %.*s", SLICE_ARG(own),
				(long long)(m->hold_until_ms - m->arrived_ms), SLICE_ARG(how),
				SLICE_ARG(m->reason)));
	else
		line(k, arena_printf(k->arena, "send%.*s%.*s", SLICE_ARG(own), SLICE_ARG(how)));
}

static void
tell_tag(struct keeper *k, const struct address *sender)
{
	struct slice plain;
	if (batv_form(sender->local, &plain))
		line(k, arena_printf(k->arena, "as %.*s", SLICE_ARG(sender->raw)));
}

/* The bytes of a body, from memory alone: a play has no files. */
static struct slice
bytes_of(struct keeper *k, const struct relay_body *b)
{
	struct slice text = SLICE_NONE;
	for (size_t i = 0; i < b->n; i++) {
		must(b->parts[i].fd < 0);
		text = arena_printf(
			k->arena, "%.*s%.*s", SLICE_ARG(text), SLICE_ARG(b->parts[i].bytes));
	}
	return text;
}

static void
tell_header(struct keeper *k, struct slice text)
{
	struct slice one;
	while (text.n != 0) {
		slice_cut(text, '\n', &one, &text);
		one = slice_trim(one);
		if (one.n == 0)
			return;
		line(k, one);
	}
}

static void
tell_parcel(struct keeper *k, const struct queue_parcel *p)
{
	static const char *const ways[DELIVERY_WAYS] = {[DELIVERY_BY_SEND] = "send",
		[DELIVERY_BY_SMARTHOST] = "smarthost",
		[DELIVERY_BY_DOMAIN] = "domain",
		[DELIVERY_BY_ROUTE] = "route"};
	tell_fate(k, p);
	tell_tag(k, &p->mail.sender);
	for (size_t i = 0; i < p->mail.n_rcpts; i++) {
		const struct stored_rcpt *r = &p->mail.rcpts[i];
		line(k, arena_printf(k->arena, "rcpt %.*s by %s %.*s",
				SLICE_ARG(r->address.raw), ways[r->way], SLICE_ARG(r->site)));
	}
	must(k->n_mails < KEEPER_MAILS_MOST);
	k->mails[k->n_mails++] = bytes_of(k, &p->body);
	tell_header(k, k->mails[k->n_mails - 1]);
}

/* --- what it answers */

static void
judge(struct keeper *k, struct gate_transfer *t, struct queue_result *r)
{
	size_t room = 0;
	for (size_t i = 0; i < t->n_parcels; i++)
		room += t->parcels[i].mail.n_rcpts;
	r->rcpts = arena_array(t->mail.arena, room, sizeof(*r->rcpts));
	for (size_t i = 0; i < t->n_parcels; i++) {
		const struct queue_parcel *p = &t->parcels[i];
		for (size_t n = 0; n < p->mail.n_rcpts; n++) {
			const struct keeper_answer *a = find(k, p->mail.rcpts[n].address.raw);
			struct relay_rcpt *one = &r->rcpts[r->n_rcpts++];
			*one = (struct relay_rcpt){
				.fate = RELAY_DEFERRED, .phase = SMTP_CL_RCPT};
			if (a != NULL)
				one->reply = a->reply;
			else if (p->refused)
				one->reply = p->reply;
			if (smtp_reply_class(&one->reply) == 5)
				one->fate = RELAY_REFUSED;
			r->refused += one->fate == RELAY_REFUSED;
			r->kept += p->mail.kind != STORED_SEND;
			r->waiting += p->mail.kind == STORED_SEND &&
				      one->fate == RELAY_DEFERRED && r->end == QUEUE_QUEUED;
			r->delivered += p->mail.kind == STORED_SEND &&
					one->fate == RELAY_DEFERRED &&
					r->end == QUEUE_DELIVERED;
		}
	}
}

uint64_t
keeper_carry(struct keeper *k, struct gate_transfer *t)
{
	const struct keeper_answer *a = find(k, SLICE_NONE);
	line(k, arena_printf(k->arena, "budget %u", t->budget_ms));
	for (size_t i = 0; i < t->n_parcels; i++)
		tell_parcel(k, &t->parcels[i]);
	if (a != NULL && a->gone) {
		t->reply =
			smtp_reply_of("451 4.3.0 The queue was interrupted, try again later");
		return a->after_ms;
	}
	struct queue_result *r = ARENA_NEW(t->mail.arena, struct queue_result);
	r->end = a != NULL ? a->end : QUEUE_QUEUED;
	r->reply = a != NULL ? a->reply : smtp_reply_of("250 2.0.0 Queued");
	r->id.bytes[0] = 0xab;
	judge(k, t, r);
	t->reply = r->reply;
	t->result = r;
	return a != NULL ? a->after_ms : 0;
}

void
keeper_cancel(struct keeper *k, struct gate_transfer *t)
{
	struct queue_result *r = ARENA_NEW(t->mail.arena, struct queue_result);
	r->end = QUEUE_CANCELLED;
	r->reply = smtp_reply_of("451 4.3.0 The client is gone");
	line(k, SLICE("cancel"));
	t->reply = r->reply;
	t->result = r;
}

const struct smtp_reply *
keeper_ask(struct keeper *k, const struct gate_rcpt *q, uint64_t *took_ms_out)
{
	const struct keeper_answer *a = find(k, q->rcpt.raw);
	bool late = a == NULL || a->gone || a->after_ms > q->budget_ms;
	line(k, arena_printf(k->arena, "ask %.*s of %.*s within %u", SLICE_ARG(q->rcpt.raw),
			SLICE_ARG(q->site), q->budget_ms));
	tell_tag(k, &q->sender);
	*took_ms_out = a == NULL ? 0 : late ? q->budget_ms : a->after_ms;
	return late ? NULL : &a->reply;
}
