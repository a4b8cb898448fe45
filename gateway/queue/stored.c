/*
 * Envelope and note of a mail in custody as bytes; see stored.h. Integers are little-endian and
 * of fixed size (io/ipc.h), so that what one machine has stored another reads. Nothing is
 * believed when it is read again: a length that the bytes do not hold, an enum that is none or
 * a control character where a command line or a header would break makes it unreadable. What
 * pack accepts, unpack therefore takes; what people read is cleaned and cut instead.
 *
 * A note holds only recipients that have a history, and neighbours with the same history share
 * it: a mail to 10,000 recipients of one site has a note of some hundred bytes. Version 1 of
 * both, of the releases before, is read as a mail that nobody has scanned or touched, version 2
 * of an envelope as one that no rule about spam has kept.
 */
#include "queue/stored.h"

#include <assert.h>

#include "base/must.h"
#include "io/ipc.h"
#include "smtp/line.h"

enum {
	MAIL_VERSION = 3,
	NOTE_VERSION = 2,
	RAW_MOST = 512, /* a path, quoted as it came */
	DOMAIN_MOST = 256,
	WORDS_MOST = 512, /* account, quarantine, reason */
	AUTH_MOST = LINE_BYTES_MOST,
	LOG_MOST = 64,     /* the mail's id in the log */
	VIRUS_MOST = 255,  /* a signature's name */
	HOST_MOST = 253,   /* a name of the DNS */
	RCPT_LEAST = 13,   /* bytes of a recipient in the envelope, at the least */
	RUN_LEAST = 4 + 46 /* bytes of a run in a note, at the least */
};

/* Bytes of a run of one recipient at the most: fields of fixed size, words, host, IPv6. */
enum { RUN_MOST = RUN_LEAST + STORED_WORDS_MOST + HOST_MOST + 16 };
enum { NOTE_HEAD_MOST = 64 + STORED_BY_MOST + VIRUS_MOST + STORED_HISTORY_MOST };
static_assert(STORED_RCPTS_MOST * RUN_MOST + NOTE_HEAD_MOST <= CUSTODY_NOTE_MOST,
	"every note of a mail fits");

/* How an address is written: most are plain "local@domain", and only that is stored. */
enum { ADDRESS_IS_UTF8 = 1, ADDRESS_IS_NULL = 2, ADDRESS_IS_PLAIN = 4, ADDRESS_FLAGS = 8 };

/* ---- words ---- */

static bool
is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

static bool
has_control(struct slice s, bool lines)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]) && !(lines && s.p[i] == '\n'))
			return true;
	return false;
}

/* What a machine reads: exactly as it is, or not at all. */
static void
put_exact(struct ipc_out *o, struct slice s, size_t most)
{
	if (s.n > most || has_control(s, false))
		o->full = true;
	ipc_put_slice(o, s);
}

/* What people read: cut, never within a character of UTF-8, and cleaned. */
static void
put_words(struct ipc_out *o, struct slice s, size_t most, bool lines)
{
	char clean[STORED_FACTS_MOST];
	size_t n = s.n < most ? s.n : most;
	must(most <= sizeof(clean));
	while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		clean[i] = is_control(s.p[i]) && !(lines && s.p[i] == '\n') ? '?' : s.p[i];
	ipc_put_slice(o, (struct slice){clean, n});
}

static struct slice
get_words(struct ipc_in *in, size_t most, bool lines)
{
	struct slice s = ipc_get_slice(in);
	if (s.n <= most && !has_control(s, lines))
		return s;
	in->bad = true;
	return SLICE_NONE;
}

static struct slice
get_exact(struct ipc_in *in, size_t most)
{
	return get_words(in, most, false);
}

/* ---- addresses and parameters ---- */

static bool
is_plain(const struct address *a)
{
	struct slice local, domain;
	size_t at = slice_find_last(a->raw, '@');
	local = slice_first(a->raw, at);
	domain = at < a->raw.n ? slice_from(a->raw, at + 1) : SLICE_NONE;
	return slice_eq(a->text, a->raw) && slice_eq(a->local, local) &&
	       slice_eq(a->domain, domain);
}

static void
put_address(struct ipc_out *o, const struct address *a)
{
	bool plain = is_plain(a);
	ipc_put_u8(o,
		(uint8_t)((a->utf8 ? ADDRESS_IS_UTF8 : 0) | (a->is_null ? ADDRESS_IS_NULL : 0) |
			  (plain ? ADDRESS_IS_PLAIN : 0)));
	put_exact(o, a->raw, RAW_MOST);
	if (a->is_null != (a->raw.n == 0))
		o->full = true;
	if (plain)
		return;
	put_exact(o, a->local, RAW_MOST);
	put_exact(o, a->domain, DOMAIN_MOST);
	put_exact(o, a->text, RAW_MOST);
}

static void
get_address(struct ipc_in *in, struct address *a)
{
	unsigned flags = ipc_get_enum(in, ADDRESS_FLAGS);
	*a = (struct address){.raw = get_exact(in, RAW_MOST)};
	a->utf8 = (flags & ADDRESS_IS_UTF8) != 0;
	a->is_null = (flags & ADDRESS_IS_NULL) != 0;
	if (a->is_null != (a->raw.n == 0))
		in->bad = true;
	if ((flags & ADDRESS_IS_PLAIN) != 0) {
		size_t at = slice_find_last(a->raw, '@');
		a->text = a->raw;
		a->local = slice_first(a->raw, at);
		a->domain = at < a->raw.n ? slice_from(a->raw, at + 1) : SLICE_NONE;
		return;
	}
	a->local = get_exact(in, RAW_MOST);
	a->domain = get_exact(in, DOMAIN_MOST);
	a->text = get_exact(in, RAW_MOST);
}

static void
put_mail_params(struct ipc_out *o, const struct smtp_mail_params *p)
{
	ipc_put_u64(o, p->size);
	ipc_put_u8(o, (uint8_t)p->body);
	ipc_put_bool(o, p->smtputf8);
	ipc_put_u8(o, (uint8_t)p->ret);
	put_exact(o, p->envid, SMTP_ENVID_MOST);
	put_exact(o, p->auth, AUTH_MOST);
}

static void
get_mail_params(struct ipc_in *in, struct smtp_mail_params *p)
{
	*p = (struct smtp_mail_params){.size = ipc_get_u64(in)};
	p->body = (enum smtp_body)ipc_get_enum(in, SMTP_BODY_8BITMIME + 1);
	p->smtputf8 = ipc_get_bool(in);
	p->ret = (enum smtp_ret)ipc_get_enum(in, SMTP_RET_HDRS + 1);
	p->envid = get_exact(in, SMTP_ENVID_MOST);
	p->auth = get_exact(in, AUTH_MOST);
}

/* The site is nearly always the address's domain, and then not written again. */
static void
put_rcpt(struct ipc_out *o, const struct stored_rcpt *r)
{
	bool same = slice_eq(r->site, r->address.domain);
	put_address(o, &r->address);
	if (r->address.is_null)
		o->full = true;
	ipc_put_u8(o, (uint8_t)r->params.notify);
	put_exact(o, r->params.orcpt, SMTP_ORCPT_MOST);
	ipc_put_u8(o, (uint8_t)r->way);
	ipc_put_bool(o, same);
	if (!same)
		put_exact(o, r->site, DOMAIN_MOST);
}

static void
get_rcpt(struct ipc_in *in, struct stored_rcpt *r)
{
	*r = (struct stored_rcpt){0};
	get_address(in, &r->address);
	r->params.notify = ipc_get_enum(in, 2 * SMTP_NOTIFY_DELAY);
	r->params.orcpt = get_exact(in, SMTP_ORCPT_MOST);
	r->way = (enum delivery_way)ipc_get_enum(in, DELIVERY_WAYS);
	r->site = ipc_get_bool(in) ? r->address.domain : get_exact(in, DOMAIN_MOST);
	if (r->address.is_null)
		in->bad = true;
}

/* ---- the envelope ---- */

static void
out_init(struct ipc_out *o, size_t most)
{
	*o = (struct ipc_out){.full = false};
	buf_init(&o->buf, most);
}

/* All of o behind what is in out, or nothing. Frees o. */
static int
out_end(struct ipc_out *o, struct buf *out)
{
	struct slice bytes;
	int result = ipc_out_ok(o, &bytes) ? buf_add(out, bytes) : -1;
	ipc_out_fini(o);
	return result;
}

static void
put_mail(struct ipc_out *o, const struct stored_mail *m)
{
	ipc_put_u8(o, MAIL_VERSION);
	ipc_put_u8(o, (uint8_t)m->kind);
	ipc_put_u8(o, (uint8_t)m->direction);
	ipc_put_bool(o, m->own);
	ipc_put_bool(o, m->notification);
	ipc_put_u64(o, m->arrived_ms);
	ipc_put_u64(o, m->hold_until_ms);
	put_words(o, m->log, LOG_MOST, false);
	put_exact(o, m->user, WORDS_MOST);
	ipc_put_ip(o, &m->client);
	put_exact(o, m->quarantine, WORDS_MOST);
	put_words(o, m->reason, WORDS_MOST, false);
	put_exact(o, m->route, DELIVERY_ROUTE_MOST);
	put_address(o, &m->sender);
	put_mail_params(o, &m->params);
	put_words(o, m->facts, STORED_FACTS_MOST, true);
	ipc_put_u64(o, m->signatures);
	put_words(o, m->virus, VIRUS_MOST, false);
	ipc_put_bool(o, m->by_spam);
}

int
stored_mail_pack(const struct stored_mail *m, struct buf *out)
{
	struct ipc_out o;
	must(m->n_rcpts > 0);
	if (m->n_rcpts > STORED_RCPTS_MOST)
		return -1;
	out_init(&o, buf_left(out));
	put_mail(&o, m);
	ipc_put_u32(&o, (uint32_t)m->n_rcpts);
	for (size_t i = 0; i < m->n_rcpts && !o.full; i++)
		put_rcpt(&o, &m->rcpts[i]);
	return out_end(&o, out);
}

static void
get_mail(struct ipc_in *in, unsigned version, struct stored_mail *m)
{
	m->kind = (enum stored_kind)ipc_get_enum(in, STORED_KINDS);
	m->direction = (enum direction)ipc_get_enum(in, OUTBOUND + 1);
	m->own = ipc_get_bool(in);
	m->notification = ipc_get_bool(in);
	m->arrived_ms = ipc_get_u64(in);
	m->hold_until_ms = ipc_get_u64(in);
	m->log = get_words(in, LOG_MOST, false);
	m->user = get_exact(in, WORDS_MOST);
	ipc_get_ip(in, &m->client);
	m->quarantine = get_exact(in, WORDS_MOST);
	m->reason = get_words(in, WORDS_MOST, false);
	m->route = get_exact(in, DELIVERY_ROUTE_MOST);
	get_address(in, &m->sender);
	get_mail_params(in, &m->params);
	if (version < 2)
		return;
	m->facts = get_words(in, STORED_FACTS_MOST, true);
	m->signatures = ipc_get_u64(in);
	m->virus = get_words(in, VIRUS_MOST, false);
	if (version < 3)
		return;
	m->by_spam = ipc_get_bool(in);
}

/* 0: none that we can read. */
static unsigned
get_version(struct ipc_in *in, unsigned newest)
{
	unsigned version = ipc_get_u8(in);
	return !in->bad && version <= newest ? version : 0;
}

bool
stored_mail_unpack(struct slice bytes, struct arena *a, struct stored_mail *m)
{
	struct ipc_in in;
	ipc_in_init(&in, bytes);
	*m = (struct stored_mail){0};
	unsigned version = get_version(&in, MAIL_VERSION);
	if (version == 0)
		return false;
	get_mail(&in, version, m);
	size_t n = ipc_get_count(&in, STORED_RCPTS_MOST, RCPT_LEAST);
	if (in.bad || n == 0)
		return false;
	m->rcpts = arena_array(a, n, sizeof(*m->rcpts));
	m->n_rcpts = n;
	for (size_t i = 0; i < n && !in.bad; i++)
		get_rcpt(&in, &m->rcpts[i]);
	return ipc_in_done(&in);
}

/* ---- the note ---- */

static void
put_reply(struct ipc_out *o, const struct smtp_reply *r)
{
	if (r->code < 0 || r->code > 599)
		o->full = true;
	ipc_put_u16(o, (uint16_t)r->code);
	ipc_put_bool(o, r->has_enhanced);
	for (size_t i = 0; i < 3; i++) {
		if (r->enhanced[i] > 999)
			o->full = true;
		ipc_put_u16(o, r->enhanced[i]);
	}
	put_words(o, r->text, STORED_WORDS_MOST, true);
}

static void
get_reply(struct ipc_in *in, struct smtp_reply *r)
{
	*r = (struct smtp_reply){.code = ipc_get_u16(in)};
	r->has_enhanced = ipc_get_bool(in);
	if (r->code > 599 || (r->code != 0 && r->code < 200))
		in->bad = true;
	for (size_t i = 0; i < 3; i++) {
		r->enhanced[i] = ipc_get_u16(in);
		if (r->enhanced[i] > 999)
			in->bad = true;
	}
	r->text = get_words(in, STORED_WORDS_MOST, true);
}

enum { NOTE_DELAY_TOLD = 1, NOTE_SUCCESS_OWED = 2 };

/* 46 bytes without words, host and address: RUN_LEAST. */
static void
put_history(struct ipc_out *o, const struct stored_rcpt_note *n)
{
	ipc_put_u8(o, (uint8_t)n->state);
	ipc_put_bool(o, n->way == DELIVERY_BY_SMARTHOST);
	ipc_put_u32(o, n->attempts);
	ipc_put_u64(o, n->last_ms);
	ipc_put_u64(o, n->due_ms);
	ipc_put_u8(o, (uint8_t)n->failure.class);
	ipc_put_bool(o, n->failure.permanent);
	ipc_put_u8(o, (uint8_t)n->failure.about);
	ipc_put_u8(o, (uint8_t)n->at);
	put_reply(o, &n->reply);
	ipc_put_bool(o, n->from_hop);
	put_words(o, n->host, HOST_MOST, false);
	ipc_put_ip(o, &n->address);
	ipc_put_u8(o, (uint8_t)((n->delay_told ? NOTE_DELAY_TOLD : 0) |
				(n->success_owed ? NOTE_SUCCESS_OWED : 0)));
}

static void
get_history(struct ipc_in *in, struct stored_rcpt_note *n)
{
	*n = (struct stored_rcpt_note){.state = (enum rcpt_state)ipc_get_enum(in, RCPT_STATES)};
	/* Where it has not turned, the way is the envelope's: stored_note_unpack. */
	n->way = ipc_get_bool(in) ? DELIVERY_BY_SMARTHOST : DELIVERY_WAYS;
	n->attempts = ipc_get_u32(in);
	n->last_ms = ipc_get_u64(in);
	n->due_ms = ipc_get_u64(in);
	n->failure.class = (enum failure_class)ipc_get_enum(in, FAILURE_CLASSES);
	n->failure.permanent = ipc_get_bool(in);
	n->failure.about = (enum failure_about)ipc_get_enum(in, ABOUT_THE_WAY + 1);
	n->at = (enum failure_phase)ipc_get_enum(in, FAILURE_PHASES);
	get_reply(in, &n->reply);
	n->from_hop = ipc_get_bool(in);
	n->host = get_words(in, HOST_MOST, false);
	ipc_get_ip(in, &n->address);
	unsigned flags = ipc_get_u8(in);
	n->delay_told = (flags & NOTE_DELAY_TOLD) != 0;
	n->success_owed = (flags & NOTE_SUCCESS_OWED) != 0;
	if ((flags & ~(unsigned)(NOTE_DELAY_TOLD | NOTE_SUCCESS_OWED)) != 0)
		in->bad = true;
}

/* Runs of neighbours with one history: the first, how many, the history. */
struct runs {
	struct ipc_out *out;
	struct ipc_out history; /* of the run that is open, as bytes */
	struct ipc_out nothing; /* the history of a recipient that has none */
	size_t first, n;
	size_t written;
};

static struct slice
history_bytes(const struct ipc_out *o)
{
	return buf_slice(&o->buf);
}

static void
run_end(struct runs *r)
{
	bool none = slice_eq(history_bytes(&r->history), history_bytes(&r->nothing));
	if (r->n > 0 && !none) {
		struct slice bytes = history_bytes(&r->history);
		r->written++;
		ipc_put_u16(r->out, (uint16_t)r->first);
		ipc_put_u16(r->out, (uint16_t)r->n);
		if (r->history.full || buf_add(&r->out->buf, bytes) < 0)
			r->out->full = true;
	}
	ipc_out_fini(&r->history);
}

/* How many there are. */
static size_t
put_runs(struct ipc_out *o, const struct stored_note *n)
{
	struct runs r = {.out = o};
	ipc_out_init(&r.history);
	ipc_out_init(&r.nothing);
	put_history(&r.nothing, &(struct stored_rcpt_note){0});
	for (size_t i = 0; i < n->n_rcpts && !o->full; i++) {
		struct ipc_out next;
		ipc_out_init(&next);
		put_history(&next, &n->rcpts[i]);
		o->full = o->full || next.full;
		if (r.n == 0 || !slice_eq(history_bytes(&next), history_bytes(&r.history))) {
			run_end(&r);
			r.history = next;
			r.first = i;
			r.n = 0;
		} else {
			ipc_out_fini(&next);
		}
		r.n++;
	}
	run_end(&r);
	ipc_out_fini(&r.nothing);
	return r.written;
}

/* Something of the mail itself is to be said. */
static bool
is_touched(const struct stored_note *n)
{
	return n->held || n->expire || n->by.n != 0 || n->by_ms != 0 || n->scanned != 0 ||
	       n->virus.n != 0 || n->history.n != 0;
}

static void
put_head(struct ipc_out *o, const struct stored_note *n, size_t runs)
{
	ipc_put_u8(o, NOTE_VERSION);
	ipc_put_bool(o, n->held);
	ipc_put_bool(o, n->expire);
	put_words(o, n->by, STORED_BY_MOST, false);
	ipc_put_u64(o, n->by_ms);
	ipc_put_u64(o, n->scanned);
	put_words(o, n->virus, VIRUS_MOST, false);
	put_words(o, n->history, STORED_HISTORY_MOST, true);
	ipc_put_u32(o, (uint32_t)runs);
}

static void
get_head(struct ipc_in *in, unsigned version, struct stored_note *n)
{
	n->held = ipc_get_bool(in);
	n->expire = ipc_get_bool(in);
	if (version < 2)
		return;
	n->by = get_words(in, STORED_BY_MOST, false);
	n->by_ms = ipc_get_u64(in);
	n->scanned = ipc_get_u64(in);
	n->virus = get_words(in, VIRUS_MOST, false);
	n->history = get_words(in, STORED_HISTORY_MOST, true);
}

int
stored_note_pack(const struct stored_note *n, struct buf *out)
{
	struct ipc_out head, runs;
	must(n->n_rcpts <= STORED_RCPTS_MOST);
	out_init(&head, buf_left(out));
	out_init(&runs, buf_left(out));
	size_t written = put_runs(&runs, n);
	if (written > 0 || is_touched(n))
		put_head(&head, n, written);
	if (runs.full || buf_add(&head.buf, buf_slice(&runs.buf)) < 0)
		head.full = true;
	ipc_out_fini(&runs);
	return out_end(&head, out);
}

static bool
get_runs(struct ipc_in *in, const struct stored_mail *m, struct stored_note *n)
{
	size_t next = 0;
	uint32_t runs = ipc_get_count(in, STORED_RCPTS_MOST, RUN_LEAST);
	for (uint32_t i = 0; i < runs; i++) {
		size_t first = ipc_get_u16(in), count = ipc_get_u16(in);
		struct stored_rcpt_note history;
		get_history(in, &history);
		if (in->bad || count == 0 || first < next || first + count > n->n_rcpts)
			return false;
		for (size_t k = first; k < first + count; k++) {
			n->rcpts[k] = history;
			if (history.way == DELIVERY_WAYS)
				n->rcpts[k].way = m->rcpts[k].way;
		}
		next = first + count;
	}
	return ipc_in_done(in);
}

bool
stored_note_unpack(
	struct slice bytes, const struct stored_mail *m, struct arena *a, struct stored_note *n)
{
	struct ipc_in in;
	ipc_in_init(&in, bytes);
	*n = (struct stored_note){.n_rcpts = m->n_rcpts};
	n->rcpts = arena_array(a, m->n_rcpts, sizeof(*n->rcpts));
	for (size_t i = 0; i < m->n_rcpts; i++)
		n->rcpts[i].way = m->rcpts[i].way;
	if (bytes.n == 0)
		return true;
	unsigned version = get_version(&in, NOTE_VERSION);
	if (version == 0)
		return false;
	get_head(&in, version, n);
	return !in.bad && get_runs(&in, m, n);
}

/* ---- what both say together ---- */

static bool
is_scanned_again(const struct stored_note *n)
{
	return n->scanned != 0 || n->virus.n != 0;
}

struct slice
stored_virus(const struct stored_mail *m, const struct stored_note *n)
{
	return is_scanned_again(n) ? n->virus : m->virus;
}

uint64_t
stored_signatures(const struct stored_mail *m, const struct stored_note *n)
{
	return is_scanned_again(n) ? n->scanned : m->signatures;
}

struct slice
stored_history(struct slice history, struct slice line, struct arena *a)
{
	struct slice oldest;
	line = slice_first(line, STORED_HISTORY_MOST - 1);
	while (history.n != 0 && history.n + line.n + 1 > STORED_HISTORY_MOST)
		(void)slice_cut(history, '\n', &oldest, &history);
	return arena_printf(a, "%.*s%.*s\n", SLICE_ARG(history), SLICE_ARG(line));
}
