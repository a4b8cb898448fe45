/*
 * `postern queue` and the keeper: their messages as bytes; see hand_messages.h. Words are
 * cleaned where they are packed and refused where they come unclean, so that nothing a stranger
 * chose reaches a terminal.
 */
#include "queue/hand_messages.h"

#include "base/must.h"
#include "io/ipc.h"

enum {
	ADDRESS_BYTES = 512,
	SITE_BYTES = 256,
	NAME_BYTES = 512, /* a quarantine, a rule's place */
	VIRUS_BYTES = 255,
	CLIENT_BYTES = 64,
	ITEM_LEAST = CUSTODY_ID_BYTES + 1 + 8
};

const char *
hand_action_text(enum hand_action a)
{
	static const char *const texts[HAND_ACTIONS] = {
		[HAND_HOLD] = "hold",
		[HAND_RELEASE] = "release",
		[HAND_RETRY] = "retry",
		[HAND_EXPIRE] = "expire",
		[HAND_DROP] = "drop",
		[HAND_FORWARD] = "forward",
		[HAND_LOOK] = "look",
	};
	must(a < HAND_ACTIONS);
	return texts[a];
}

/* ---- pieces ---- */

static bool
is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

/* Cut, never within a character of UTF-8, and cleaned. */
static void
put_words(struct ipc_out *o, struct slice s, size_t most)
{
	char clean[NAME_BYTES];
	size_t n = s.n < most ? s.n : most;
	must(most <= sizeof(clean));
	while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		clean[i] = is_control(s.p[i]) ? '?' : s.p[i];
	ipc_put_slice(o, (struct slice){clean, n});
}

static struct slice
get_words(struct ipc_in *in, size_t most)
{
	struct slice s = ipc_get_slice(in);
	bool bad = s.n > most;
	for (size_t i = 0; i < s.n && !bad; i++)
		bad = is_control(s.p[i]);
	if (!bad)
		return s;
	in->bad = true;
	return SLICE_NONE;
}

static void
put_id(struct ipc_out *o, const struct custody_id *id)
{
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++)
		ipc_put_u8(o, id->bytes[i]);
}

static struct custody_id
get_id(struct ipc_in *in)
{
	struct custody_id id;
	for (size_t i = 0; i < CUSTODY_ID_BYTES; i++)
		id.bytes[i] = ipc_get_u8(in);
	return id;
}

static void
must_fit(const struct ipc_out *o)
{
	struct slice payload;
	must(ipc_out_ok(o, &payload));
}

/* ---- questions ---- */

void
hand_list_pack(const struct hand_list *q, struct ipc_out *out)
{
	const struct hand_filter *f = &q->filter;
	ipc_put_u64(out, q->from);
	ipc_put_bool(out, f->by_id);
	put_id(out, &f->id);
	put_words(out, f->sender, ADDRESS_BYTES);
	put_words(out, f->recipient, ADDRESS_BYTES);
	put_words(out, f->destination, SITE_BYTES);
	put_words(out, f->quarantine, NAME_BYTES);
	put_words(out, f->client, CLIENT_BYTES);
	put_words(out, f->rule, NAME_BYTES);
	ipc_put_bool(out, f->virus);
	ipc_put_bool(out, f->by_class);
	ipc_put_u8(out, (uint8_t)f->class);
	ipc_put_bool(out, f->by_kind);
	ipc_put_u8(out, (uint8_t)f->kind);
	ipc_put_bool(out, f->held);
	ipc_put_u64(out, f->older_ms);
	ipc_put_u64(out, f->since_ms);
	must_fit(out);
}

bool
hand_list_unpack(struct slice payload, struct hand_list *q)
{
	struct ipc_in in;
	struct hand_filter *f = &q->filter;
	*q = (struct hand_list){0};
	ipc_in_init(&in, payload);
	q->from = ipc_get_u64(&in);
	f->by_id = ipc_get_bool(&in);
	f->id = get_id(&in);
	f->sender = get_words(&in, ADDRESS_BYTES);
	f->recipient = get_words(&in, ADDRESS_BYTES);
	f->destination = get_words(&in, SITE_BYTES);
	f->quarantine = get_words(&in, NAME_BYTES);
	f->client = get_words(&in, CLIENT_BYTES);
	f->rule = get_words(&in, NAME_BYTES);
	f->virus = ipc_get_bool(&in);
	f->by_class = ipc_get_bool(&in);
	f->class = (enum failure_class)ipc_get_enum(&in, FAILURE_CLASSES);
	f->by_kind = ipc_get_bool(&in);
	f->kind = (enum stored_kind)ipc_get_enum(&in, STORED_KINDS);
	f->held = ipc_get_bool(&in);
	f->older_ms = ipc_get_u64(&in);
	f->since_ms = ipc_get_u64(&in);
	return ipc_in_done(&in);
}

void
hand_id_pack(const struct custody_id *id, struct ipc_out *out)
{
	put_id(out, id);
	must_fit(out);
}

bool
hand_id_unpack(struct slice payload, struct custody_id *id)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*id = get_id(&in);
	return ipc_in_done(&in);
}

void
hand_body_pack(const struct hand_body *b, struct ipc_out *out)
{
	put_id(out, &b->id);
	ipc_put_u64(out, b->offset);
	ipc_put_bool(out, b->unscannable);
	put_words(out, b->by, HAND_BY_MOST);
	must_fit(out);
}

bool
hand_body_unpack(struct slice payload, struct hand_body *b)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	b->id = get_id(&in);
	b->offset = ipc_get_u64(&in);
	b->unscannable = ipc_get_bool(&in);
	b->by = get_words(&in, HAND_BY_MOST);
	return ipc_in_done(&in);
}

void
hand_act_pack(const struct hand_act *act, struct ipc_out *out)
{
	must(act->n <= HAND_IDS_MOST);
	ipc_put_u8(out, (uint8_t)act->action);
	ipc_put_bool(out, act->unscannable);
	put_words(out, act->by, HAND_BY_MOST);
	put_words(out, act->to, ADDRESS_BYTES);
	ipc_put_u32(out, (uint32_t)act->n);
	for (size_t i = 0; i < act->n; i++)
		put_id(out, &act->ids[i]);
	must_fit(out);
}

bool
hand_act_unpack(struct slice payload, struct arena *a, struct hand_act *act)
{
	struct ipc_in in;
	*act = (struct hand_act){0};
	ipc_in_init(&in, payload);
	act->action = (enum hand_action)ipc_get_enum(&in, HAND_LOOK);
	act->unscannable = ipc_get_bool(&in);
	act->by = get_words(&in, HAND_BY_MOST);
	act->to = get_words(&in, ADDRESS_BYTES);
	act->n = ipc_get_count(&in, HAND_IDS_MOST, CUSTODY_ID_BYTES);
	if (in.bad || act->n == 0 || (act->to.n != 0) != (act->action == HAND_FORWARD))
		return false;
	act->by = arena_slice(a, act->by);
	act->to = arena_slice(a, act->to);
	act->ids = arena_array(a, act->n, sizeof(*act->ids));
	for (size_t i = 0; i < act->n; i++)
		act->ids[i] = get_id(&in);
	return ipc_in_done(&in);
}

/* ---- a mail in a list ---- */

static void
put_sites(struct ipc_out *o, const struct hand_item *item)
{
	must(item->n_sites <= HAND_SITES_MOST && item->n_rcpts <= HAND_RCPTS_MOST);
	ipc_put_u8(o, (uint8_t)item->n_rcpts);
	for (size_t i = 0; i < item->n_rcpts; i++)
		put_words(o, item->rcpts[i], ADDRESS_BYTES);
	ipc_put_u32(o, (uint32_t)item->n_sites);
	for (size_t i = 0; i < item->n_sites; i++) {
		const struct hand_site *s = &item->sites[i];
		put_words(o, s->site, SITE_BYTES);
		ipc_put_u32(o, s->waiting);
		ipc_put_u64(o, s->due_ms);
		ipc_put_bool(o, s->tried);
		ipc_put_u8(o, (uint8_t)s->class);
	}
	ipc_put_u32(o, item->more_sites);
}

static void
get_sites(struct ipc_in *in, struct arena *a, struct hand_item *item)
{
	item->n_rcpts = ipc_get_enum(in, HAND_RCPTS_MOST + 1);
	for (size_t i = 0; i < item->n_rcpts; i++)
		item->rcpts[i] = get_words(in, ADDRESS_BYTES);
	item->n_sites = ipc_get_count(in, HAND_SITES_MOST, 18);
	if (in->bad)
		return;
	item->sites = arena_array(a, item->n_sites + 1, sizeof(*item->sites));
	for (size_t i = 0; i < item->n_sites; i++) {
		struct hand_site *s = &item->sites[i];
		s->site = get_words(in, SITE_BYTES);
		s->waiting = ipc_get_u32(in);
		s->due_ms = ipc_get_u64(in);
		s->tried = ipc_get_bool(in);
		s->class = (enum failure_class)ipc_get_enum(in, FAILURE_CLASSES);
	}
	item->more_sites = ipc_get_u32(in);
}

static void
put_item(struct ipc_out *o, const struct hand_item *item)
{
	const bool flags[] = {
		item->own, item->held, item->expire, item->notification, item->tried};
	const uint64_t numbers[] = {item->arrived_ms, item->hold_until_ms, item->due_ms,
		item->last_ms, item->attempts};
	put_id(o, &item->id);
	ipc_put_bool(o, item->readable);
	ipc_put_u64(o, item->bytes);
	if (!item->readable)
		return;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		ipc_put_bool(o, flags[i]);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ipc_put_u64(o, numbers[i]);
	ipc_put_u8(o, (uint8_t)item->kind);
	ipc_put_u8(o, (uint8_t)item->direction);
	ipc_put_u8(o, (uint8_t)item->class);
	put_words(o, item->words, HAND_WORDS_MOST);
	put_words(o, item->sender, ADDRESS_BYTES);
	put_words(o, item->quarantine, NAME_BYTES);
	put_words(o, item->reason, NAME_BYTES);
	put_words(o, item->virus, VIRUS_BYTES);
	ipc_put_ip(o, &item->client);
	for (size_t i = 0; i < RCPT_STATES; i++)
		ipc_put_u32(o, item->states[i]);
	put_sites(o, item);
}

static void
get_item(struct ipc_in *in, struct arena *a, struct hand_item *item)
{
	item->id = get_id(in);
	item->readable = ipc_get_bool(in);
	item->bytes = ipc_get_u64(in);
	if (!item->readable)
		return;
	item->own = ipc_get_bool(in);
	item->held = ipc_get_bool(in);
	item->expire = ipc_get_bool(in);
	item->notification = ipc_get_bool(in);
	item->tried = ipc_get_bool(in);
	item->arrived_ms = ipc_get_u64(in);
	item->hold_until_ms = ipc_get_u64(in);
	item->due_ms = ipc_get_u64(in);
	item->last_ms = ipc_get_u64(in);
	uint64_t attempts = ipc_get_u64(in);
	in->bad = in->bad || attempts > UINT32_MAX;
	item->attempts = (uint32_t)attempts;
	item->kind = (enum stored_kind)ipc_get_enum(in, STORED_KINDS);
	item->direction = (enum direction)ipc_get_enum(in, OUTBOUND + 1);
	item->class = (enum failure_class)ipc_get_enum(in, FAILURE_CLASSES);
	item->words = get_words(in, HAND_WORDS_MOST);
	item->sender = get_words(in, ADDRESS_BYTES);
	item->quarantine = get_words(in, NAME_BYTES);
	item->reason = get_words(in, NAME_BYTES);
	item->virus = get_words(in, VIRUS_BYTES);
	ipc_get_ip(in, &item->client);
	for (size_t i = 0; i < RCPT_STATES; i++)
		item->states[i] = ipc_get_u32(in);
	get_sites(in, a, item);
}

int
hand_items_add(const struct hand_item *item, struct ipc_out *out)
{
	struct ipc_out one;
	struct slice bytes;
	int result = -1;
	ipc_out_init(&one);
	put_item(&one, item);
	must(ipc_out_ok(&one, &bytes));
	if (buf_left(&out->buf) >= bytes.n + 4) {
		ipc_put_slice(out, bytes);
		result = 0;
	}
	ipc_out_fini(&one);
	return result;
}

bool
hand_items_unpack(struct slice payload, struct arena *a, struct hand_item **items, size_t *n)
{
	struct ipc_in all, one;
	*n = 0;
	*items = arena_array(a, payload.n / (ITEM_LEAST + 4) + 1, sizeof(**items));
	ipc_in_init(&all, payload);
	while (!all.bad && all.rest.n > 0) {
		struct slice bytes = ipc_get_slice(&all);
		if (all.bad || bytes.n < ITEM_LEAST)
			return false;
		ipc_in_init(&one, bytes);
		get_item(&one, a, &(*items)[*n]);
		if (!ipc_in_done(&one))
			return false;
		++*n;
	}
	return ipc_in_done(&all);
}

/* ---- the other answers ---- */

void
hand_page_pack(const struct hand_page *p, struct ipc_out *out)
{
	ipc_put_u64(out, p->next);
	ipc_put_bool(out, p->end);
	ipc_put_u32(out, p->seen);
	ipc_put_u32(out, p->matched);
	must_fit(out);
}

bool
hand_page_unpack(struct slice payload, struct hand_page *p)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	p->next = ipc_get_u64(&in);
	p->end = ipc_get_bool(&in);
	p->seen = ipc_get_u32(&in);
	p->matched = ipc_get_u32(&in);
	return ipc_in_done(&in) && p->matched <= p->seen;
}

void
hand_bytes_pack(struct slice bytes, bool last, struct ipc_out *out)
{
	must(bytes.n <= HAND_BYTES_MOST);
	ipc_put_bool(out, last);
	ipc_put_slice(out, bytes);
	must_fit(out);
}

bool
hand_bytes_unpack(struct slice payload, struct slice *bytes, bool *last)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	*last = ipc_get_bool(&in);
	*bytes = ipc_get_slice(&in);
	return ipc_in_done(&in) && bytes->n <= HAND_BYTES_MOST;
}

void
hand_done_pack(const struct hand_done *d, struct ipc_out *out)
{
	ipc_put_u32(out, d->done);
	ipc_put_u32(out, d->missing);
	ipc_put_u32(out, d->failed);
	ipc_put_u32(out, d->refused);
	put_words(out, d->why, NAME_BYTES);
	must_fit(out);
}

bool
hand_done_unpack(struct slice payload, struct hand_done *d)
{
	struct ipc_in in;
	ipc_in_init(&in, payload);
	d->done = ipc_get_u32(&in);
	d->missing = ipc_get_u32(&in);
	d->failed = ipc_get_u32(&in);
	d->refused = ipc_get_u32(&in);
	d->why = get_words(&in, NAME_BYTES);
	return ipc_in_done(&in);
}

void
hand_state_pack(const struct hand_state *s, struct ipc_out *out)
{
	const struct schedule_counts *c = &s->schedule;
	const struct custody_space *sp = &s->space;
	const uint64_t numbers[] = {c->mails, c->parts, c->due, c->in_flight, c->sites,
		c->sites_backing_off, c->memory_bytes, sp->items, sp->live_bytes,
		sp->used_bytes, sp->free_bytes, sp->kept_bytes, sp->syncs, sp->failures,
		sp->collected_bytes, sp->memory_bytes, s->quarantine.items, s->quarantine.bytes,
		s->quarantine.most};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ipc_put_u64(out, numbers[i]);
	ipc_put_bool(out, sp->full);
	ipc_put_bool(out, sp->failing);
	ipc_put_u8(out, (uint8_t)s->egress);
	ipc_put_slice(out, slice_first(s->egress_text, HAND_TEXT_MOST));
	must_fit(out);
}

/* Lines are allowed here. */
static bool
is_clean_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]) && s.p[i] != '\n')
			return false;
	return s.n <= HAND_TEXT_MOST;
}

bool
hand_state_unpack(struct slice payload, struct hand_state *s)
{
	struct ipc_in in;
	struct schedule_counts *c = &s->schedule;
	struct custody_space *sp = &s->space;
	size_t *const sizes[] = {&c->mails, &c->parts, &c->due, &c->in_flight, &c->sites,
		&c->sites_backing_off, &c->memory_bytes};
	uint64_t *const numbers[] = {&sp->items, &sp->live_bytes, &sp->used_bytes,
		&sp->free_bytes, &sp->kept_bytes, &sp->syncs, &sp->failures,
		&sp->collected_bytes, &sp->memory_bytes, &s->quarantine.items,
		&s->quarantine.bytes, &s->quarantine.most};
	ipc_in_init(&in, payload);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		*sizes[i] = (size_t)ipc_get_u64(&in);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		*numbers[i] = ipc_get_u64(&in);
	sp->full = ipc_get_bool(&in);
	sp->failing = ipc_get_bool(&in);
	s->egress = (enum egress_state)ipc_get_enum(&in, EGRESS_STATES);
	s->egress_text = ipc_get_slice(&in);
	return ipc_in_done(&in) && is_clean_text(s->egress_text);
}

/* Longer than any message's slices. */
static void
put_long(struct ipc_out *o, struct slice s)
{
	ipc_put_u32(o, (uint32_t)s.n);
	if (buf_add(&o->buf, s) < 0)
		o->full = true;
}

int
hand_stored_pack(const struct hand_stored *s, struct buf *out)
{
	struct ipc_out o = {.full = false};
	struct slice bytes;
	if (s->envelope.n > CUSTODY_ENVELOPE_MOST || s->note.n > CUSTODY_NOTE_MOST)
		return -1;
	buf_init(&o.buf, HAND_STORED_MOST);
	ipc_put_u64(&o, s->bytes);
	put_long(&o, s->envelope);
	put_long(&o, s->note);
	int result = ipc_out_ok(&o, &bytes) ? buf_add(out, bytes) : -1;
	ipc_out_fini(&o);
	return result;
}

bool
hand_stored_unpack(struct slice bytes, struct hand_stored *s)
{
	struct ipc_in in;
	ipc_in_init(&in, bytes);
	s->bytes = ipc_get_u64(&in);
	s->envelope = ipc_get_slice(&in);
	s->note = ipc_get_slice(&in);
	return ipc_in_done(&in);
}
