/*
 * Envelopes and notes as bytes: what goes in comes out, field by field; what was cut, grown, of
 * a later release or not ours is refused; a flipped bit is refused or gives something that is
 * fit for use, never a fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "feed.h"
#include "queue/stored.h"

enum { ARENA_BYTES = 16 * 1024 * 1024 };

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){
		.local = local, .domain = domain, .text = s, .raw = s, .is_null = s.n == 0};
}

static struct stored_mail
make_mail(struct stored_rcpt rcpts[4])
{
	memset(rcpts, 0, 4 * sizeof(*rcpts));
	rcpts[0].address = address_of("b@dest.example");
	rcpts[0].params =
		(struct smtp_rcpt_params){.notify = SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
			.orcpt = SLICE("rfc822;b+2Bx@dest.example")};
	rcpts[0].site = rcpts[0].address.domain;
	rcpts[1].address = (struct address){.local = SLICE("a b"),
		.domain = SLICE("xn--bcher-kva.example"),
		.text = SLICE("\"a b\"@xn--bcher-kva.example"),
		.raw = SLICE("\"a b\"@b\xc3\xbc"
			     "cher.example"),
		.utf8 = true};
	rcpts[1].params.notify = SMTP_NOTIFY_NEVER;
	rcpts[1].way = DELIVERY_BY_DOMAIN;
	rcpts[1].site = SLICE("declared.example");
	rcpts[2].address = (struct address){.local = SLICE("postmaster"),
		.text = SLICE("postmaster"),
		.raw = SLICE("postmaster")};
	rcpts[3].address = address_of("c@dest.example");
	rcpts[3].way = DELIVERY_BY_ROUTE;
	rcpts[3].site = rcpts[3].address.domain;
	struct stored_mail m = {.kind = STORED_HOLD,
		.direction = OUTBOUND,
		.own = true,
		.notification = true,
		.arrived_ms = UINT64_C(0x0123456789abcdef),
		.hold_until_ms = UINT64_C(0xfedcba9876543210),
		.log = SLICE("m-4711"),
		.user = SLICE("anna"),
		.quarantine = SLICE("undeliverable"),
		.reason = SLICE("postern.conf:31"),
		.by_spam = true,
		.facts = SLICE("body \"cards\"=yes (2 matches)\nspf=fail\n"),
		.signatures = UINT64_C(0x0f1e2d3c4b5a6978),
		.virus = SLICE("Eicar-Signature"),
		.route = SLICE("\"[192.0.2.1]:25\" tls must"),
		.sender = address_of("a@example.org"),
		.params = {.size = 12345,
			.body = SMTP_BODY_8BITMIME,
			.smtputf8 = true,
			.ret = SMTP_RET_HDRS,
			.envid = SLICE("e+2B1"),
			.auth = SLICE("a@example.org")},
		.rcpts = rcpts,
		.n_rcpts = 4};
	assert_true(ip_parse(SLICE("2001:db8::7"), &m.client));
	return m;
}

static struct stored_note
make_note(struct stored_rcpt_note notes[4], const struct stored_mail *m)
{
	memset(notes, 0, 4 * sizeof(*notes));
	for (size_t i = 0; i < 4; i++)
		notes[i].way = m->rcpts[i].way;
	notes[1] = (struct stored_rcpt_note){.state = RCPT_DOUBT,
		.way = DELIVERY_BY_SMARTHOST,
		.attempts = 77000,
		.last_ms = UINT64_C(0x1122334455667788),
		.due_ms = UINT64_C(0x8877665544332211),
		.failure = {.class = FAILURE_GREYLISTED,
			.permanent = true,
			.about = ABOUT_THE_WAY},
		.at = FAILURE_AT_DOT,
		.reply = {.code = 451,
			.enhanced = {4, 7, 999},
			.has_enhanced = true,
			.text = SLICE("not now\ncome again")},
		.from_hop = true,
		.host = SLICE("mx.dest.example"),
		.delay_told = true,
		.success_owed = true};
	assert_true(ip_parse(SLICE("192.0.2.25"), &notes[1].address));
	notes[3].state = RCPT_DELIVERED;
	notes[3].attempts = 1;
	return (struct stored_note){.held = true,
		.expire = true,
		.by = SLICE("root, for anna"),
		.by_ms = UINT64_C(0x0102030405060708),
		.scanned = UINT64_C(0x8070605040302010),
		.virus = SLICE("Other.Signature"),
		.history = SLICE("one\ntwo\n"),
		.rcpts = notes,
		.n_rcpts = 4};
}

static struct slice
pack_mail(const struct stored_mail *m, struct arena *a)
{
	struct buf out;
	buf_init(&out, CUSTODY_ENVELOPE_MOST);
	assert_int_equal(stored_mail_pack(m, &out), 0);
	struct slice bytes = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return bytes;
}

static struct slice
pack_note(const struct stored_note *n, struct arena *a)
{
	struct buf out;
	buf_init(&out, CUSTODY_NOTE_MOST);
	assert_int_equal(stored_note_pack(n, &out), 0);
	struct slice bytes = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return bytes;
}

#define assert_slice(x, y) assert_true(slice_eq((x), (y)))

static void
assert_address(const struct address *x, const struct address *y)
{
	assert_slice(x->local, y->local);
	assert_slice(x->domain, y->domain);
	assert_slice(x->text, y->text);
	assert_slice(x->raw, y->raw);
	assert_int_equal(x->utf8, y->utf8);
	assert_int_equal(x->is_null, y->is_null);
}

static void
assert_mail(const struct stored_mail *x, const struct stored_mail *y)
{
	assert_int_equal(x->kind, y->kind);
	assert_int_equal(x->direction, y->direction);
	assert_int_equal(x->own, y->own);
	assert_int_equal(x->notification, y->notification);
	assert_int_equal(x->arrived_ms, y->arrived_ms);
	assert_int_equal(x->hold_until_ms, y->hold_until_ms);
	assert_slice(x->log, y->log);
	assert_slice(x->user, y->user);
	assert_true(ip_eq(&x->client, &y->client));
	assert_slice(x->quarantine, y->quarantine);
	assert_slice(x->reason, y->reason);
	assert_int_equal(x->by_spam, y->by_spam);
	assert_slice(x->facts, y->facts);
	assert_int_equal(x->signatures, y->signatures);
	assert_slice(x->virus, y->virus);
	assert_slice(x->route, y->route);
	assert_address(&x->sender, &y->sender);
	assert_int_equal(x->params.size, y->params.size);
	assert_int_equal(x->params.body, y->params.body);
	assert_int_equal(x->params.smtputf8, y->params.smtputf8);
	assert_int_equal(x->params.ret, y->params.ret);
	assert_slice(x->params.envid, y->params.envid);
	assert_slice(x->params.auth, y->params.auth);
	assert_int_equal(x->n_rcpts, y->n_rcpts);
	for (size_t i = 0; i < x->n_rcpts; i++) {
		assert_address(&x->rcpts[i].address, &y->rcpts[i].address);
		assert_int_equal(x->rcpts[i].params.notify, y->rcpts[i].params.notify);
		assert_slice(x->rcpts[i].params.orcpt, y->rcpts[i].params.orcpt);
		assert_int_equal(x->rcpts[i].way, y->rcpts[i].way);
		assert_slice(x->rcpts[i].site, y->rcpts[i].site);
	}
}

static void
assert_rcpt_note(const struct stored_rcpt_note *x, const struct stored_rcpt_note *y)
{
	assert_int_equal(x->state, y->state);
	assert_int_equal(x->way, y->way);
	assert_int_equal(x->attempts, y->attempts);
	assert_int_equal(x->last_ms, y->last_ms);
	assert_int_equal(x->due_ms, y->due_ms);
	assert_int_equal(x->failure.class, y->failure.class);
	assert_int_equal(x->failure.permanent, y->failure.permanent);
	assert_int_equal(x->failure.about, y->failure.about);
	assert_null(x->failure.rule);
	assert_int_equal(x->at, y->at);
	assert_int_equal(x->reply.code, y->reply.code);
	assert_int_equal(x->reply.has_enhanced, y->reply.has_enhanced);
	assert_memory_equal(x->reply.enhanced, y->reply.enhanced, sizeof(y->reply.enhanced));
	assert_slice(x->reply.text, y->reply.text);
	assert_int_equal(x->from_hop, y->from_hop);
	assert_slice(x->host, y->host);
	assert_true(ip_eq(&x->address, &y->address));
	assert_int_equal(x->delay_told, y->delay_told);
	assert_int_equal(x->success_owed, y->success_owed);
}

static void
assert_note(const struct stored_note *x, const struct stored_note *y)
{
	assert_int_equal(x->held, y->held);
	assert_int_equal(x->expire, y->expire);
	assert_slice(x->by, y->by);
	assert_int_equal(x->by_ms, y->by_ms);
	assert_int_equal(x->scanned, y->scanned);
	assert_slice(x->virus, y->virus);
	assert_slice(x->history, y->history);
	assert_int_equal(x->n_rcpts, y->n_rcpts);
	for (size_t i = 0; i < x->n_rcpts; i++)
		assert_rcpt_note(&x->rcpts[i], &y->rcpts[i]);
}

static void
test_round(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts), m_got;
	struct stored_note n = make_note(notes, &m), n_got;
	struct guarded gm = guarded_new(pack_mail(&m, a)), gn = guarded_new(pack_note(&n, a));
	assert_true(stored_mail_unpack(gm.in, a, &m_got));
	assert_mail(&m_got, &m);
	assert_true(stored_note_unpack(gn.in, &m_got, a, &n_got));
	assert_note(&n_got, &n);
	guarded_free(&gm);
	guarded_free(&gn);

	/* "<>", no account, no address, nothing given. */
	struct stored_mail least = {.sender = address_of(""), .rcpts = &rcpts[0], .n_rcpts = 1};
	assert_true(stored_mail_unpack(pack_mail(&least, a), a, &m_got));
	assert_mail(&m_got, &least);
	arena_free(&a);
}

static void
test_enums(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts), m_got;
	struct stored_note n = make_note(notes, &m), n_got;
	for (unsigned i = 0; i < 16; i++) {
		m.kind = (enum stored_kind)(i % STORED_KINDS);
		m.direction = i % 2 == 0 ? INBOUND : OUTBOUND;
		m.params.ret = (enum smtp_ret)(i % 3);
		m.params.body = (enum smtp_body)((i / 3) % 3);
		rcpts[0].params.notify = i;
		rcpts[0].way = (enum delivery_way)(i % DELIVERY_WAYS);
		notes[1].state = (enum rcpt_state)(i % RCPT_STATES);
		notes[1].failure.class = (enum failure_class)(i % FAILURE_CLASSES);
		notes[1].failure.about = (enum failure_about)(i % (ABOUT_THE_WAY + 1));
		notes[1].at = (enum failure_phase)(i % FAILURE_PHASES);
		notes[0].way = rcpts[0].way;
		assert_true(stored_mail_unpack(pack_mail(&m, a), a, &m_got));
		assert_mail(&m_got, &m);
		assert_true(stored_note_unpack(pack_note(&n, a), &m_got, a, &n_got));
		assert_note(&n_got, &n);
		/* By hand: each alone. */
		n.held = i % 2 == 0;
		n.expire = i % 4 < 2;
	}
	arena_free(&a);
}

static void
test_all_waiting_is_empty(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts);
	struct stored_note n = make_note(notes, &m), got;
	memset(notes, 0, sizeof(notes));
	for (size_t i = 0; i < 4; i++)
		notes[i].way = rcpts[i].way;
	n = (struct stored_note){.rcpts = notes, .n_rcpts = 4};
	assert_int_equal(pack_note(&n, a).n, 0);
	assert_true(stored_note_unpack(SLICE_NONE, &m, a, &got));
	assert_note(&got, &n);
	/* Each of these alone is something to say. */
	const struct stored_note touched[] = {{.held = true}, {.expire = true},
		{.by = SLICE("root")}, {.by_ms = 1}, {.scanned = 1}, {.virus = SLICE("V")},
		{.history = SLICE("h\n")}};
	for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++) {
		n = touched[i];
		n.rcpts = notes;
		n.n_rcpts = 4;
		assert_true(stored_note_unpack(pack_note(&n, a), &m, a, &got));
		assert_note(&got, &n);
	}
	arena_free(&a);
}

static void
test_cut_and_grown(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts), m_got;
	struct stored_note n = make_note(notes, &m), n_got;
	struct slice mail = pack_mail(&m, a), note = pack_note(&n, a);
	for (size_t i = 0; i < mail.n; i++) {
		struct guarded g = guarded_new(slice_first(mail, i));
		assert_false(stored_mail_unpack(g.in, a, &m_got));
		guarded_free(&g);
	}
	for (size_t i = 1; i < note.n; i++) { /* 0 bytes: all are waiting */
		struct guarded g = guarded_new(slice_first(note, i));
		assert_false(stored_note_unpack(g.in, &m, a, &n_got));
		guarded_free(&g);
	}
	/* arena_slice puts a NUL behind the copy. */
	assert_false(stored_mail_unpack((struct slice){mail.p, mail.n + 1}, a, &m_got));
	assert_false(stored_note_unpack((struct slice){note.p, note.n + 1}, &m, a, &n_got));
	/* The note of a mail with more recipients. */
	m.n_rcpts = 3;
	assert_false(stored_note_unpack(note, &m, a, &n_got));
	arena_free(&a);
}

/* Whatever is taken must be fit to be packed again. */
static void
flip(struct slice bytes, bool is_mail, const struct stored_mail *m)
{
	size_t taken = 0;
	char *copy = test_malloc(bytes.n);
	for (size_t bit = 0; bit < bytes.n * 8; bit++) {
		struct arena *a = arena_new(ARENA_BYTES);
		struct stored_mail m_got;
		struct stored_note n_got;
		memcpy(copy, bytes.p, bytes.n);
		copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
		struct slice in = {copy, bytes.n};
		if (is_mail && stored_mail_unpack(in, a, &m_got)) {
			pack_mail(&m_got, a);
			taken++;
		} else if (!is_mail && stored_note_unpack(in, m, a, &n_got)) {
			pack_note(&n_got, a);
			taken++;
		}
		arena_free(&a);
	}
	test_free(copy);
	assert_in_range(taken, 1, bytes.n * 8 - 1);
}

static void
test_flipped(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts);
	struct stored_note n = make_note(notes, &m);
	flip(pack_mail(&m, a), true, &m);
	flip(pack_note(&n, a), false, &m);
	arena_free(&a);
}

static void
test_later_release(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts), m_got;
	struct stored_note n = make_note(notes, &m), n_got;
	struct slice mail = pack_mail(&m, a), note = pack_note(&n, a);
	char *at[] = {arena_text(a, mail), arena_text(a, note)};
	for (int version = 0; version < 256; version++) {
		at[0][0] = at[1][0] = (char)version;
		assert_int_equal(stored_mail_unpack((struct slice){at[0], mail.n}, a, &m_got),
			version == 3);
		assert_int_equal(
			stored_note_unpack((struct slice){at[1], note.n}, &m, a, &n_got),
			version == 2);
	}
	arena_free(&a);
}

/* What the release before stored, byte by byte as it did (stored.c of version 1). */
static const char mail_of_version_1[] =
	"\x01\x02\x00\x00\x00\x00\x28\xf1\x29\xa2\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	"\x00\x06\x00\x00\x00\x6d\x2d\x34\x37\x31\x31\x04\x00\x00\x00\x61\x6e\x6e\x61\x04"
	"\xc0\x00\x02\x07\x0a\x00\x00\x00\x63\x6f\x6d\x70\x6c\x69\x61\x6e\x63\x65\x0f\x00"
	"\x00\x00\x70\x6f\x73\x74\x65\x72\x6e\x2e\x63\x6f\x6e\x66\x3a\x33\x31\x10\x00\x00"
	"\x00\x22\x5b\x31\x39\x32\x2e\x30\x2e\x32\x2e\x31\x5d\x3a\x32\x35\x22\x04\x0d\x00"
	"\x00\x00\x61\x40\x65\x78\x61\x6d\x70\x6c\x65\x2e\x6f\x72\x67\x39\x30\x00\x00\x00"
	"\x00\x00\x00\x02\x00\x00\x02\x00\x00\x00\x65\x31\x00\x00\x00\x00\x02\x00\x00\x00"
	"\x04\x0e\x00\x00\x00\x62\x40\x64\x65\x73\x74\x2e\x65\x78\x61\x6d\x70\x6c\x65\x01"
	"\x00\x00\x00\x00\x00\x01\x04\x0e\x00\x00\x00\x63\x40\x64\x65\x73\x74\x2e\x65\x78"
	"\x61\x6d\x70\x6c\x65\x00\x00\x00\x00\x00\x02\x00\x10\x00\x00\x00\x64\x65\x63\x6c"
	"\x61\x72\x65\x64\x2e\x65\x78\x61\x6d\x70\x6c\x65";
static const char note_of_version_1[] =
	"\x01\x01\x00\x01\x00\x00\x00\x00\x00\x01\x00\x02\x00\x03\x00\x00\x00\xe8\x2b\xf1"
	"\x29\xa2\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x26\x02\x01"
	"\x05\x00\x01\x00\x01\x00\x0c\x00\x00\x00\x6e\x6f\x20\x73\x75\x63\x68\x20\x75\x73"
	"\x65\x72\x00\x0f\x00\x00\x00\x6d\x78\x2e\x64\x65\x73\x74\x2e\x65\x78\x61\x6d\x70"
	"\x6c\x65\x00\x00";

static void
test_earlier_release(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[2] = {{.address = address_of("b@dest.example"),
					       .params.notify = SMTP_NOTIFY_NEVER,
					       .site = SLICE("dest.example")},
		{.address = address_of("c@dest.example"),
			.way = DELIVERY_BY_DOMAIN,
			.site = SLICE("declared.example")}};
	struct stored_mail m = {.kind = STORED_QUARANTINE,
		.arrived_ms = UINT64_C(1796000000000),
		.log = SLICE("m-4711"),
		.user = SLICE("anna"),
		.quarantine = SLICE("compliance"),
		.reason = SLICE("postern.conf:31"),
		.route = SLICE("\"[192.0.2.1]:25\""),
		.sender = address_of("a@example.org"),
		.params = {.size = 12345, .body = SMTP_BODY_8BITMIME, .envid = SLICE("e1")},
		.rcpts = rcpts,
		.n_rcpts = 2};
	struct stored_rcpt_note notes[2] = {{.state = RCPT_FAILED,
						    .attempts = 3,
						    .last_ms = UINT64_C(1796000001000),
						    .reply = {.code = 550,
							    .enhanced = {5, 1, 1},
							    .has_enhanced = true,
							    .text = SLICE("no such user")},
						    .host = SLICE("mx.dest.example")},
		{.way = DELIVERY_BY_DOMAIN}};
	struct stored_note n = {.held = true, .rcpts = notes, .n_rcpts = 2};
	struct stored_mail m_got;
	struct stored_note n_got;
	assert_true(ip_parse(SLICE("192.0.2.7"), &m.client));
	struct slice mail = {mail_of_version_1, sizeof(mail_of_version_1) - 1};
	struct slice note = {note_of_version_1, sizeof(note_of_version_1) - 1};
	assert_true(stored_mail_unpack(mail, a, &m_got));
	assert_mail(&m_got, &m);
	assert_true(stored_note_unpack(note, &m_got, a, &n_got));
	assert_note(&n_got, &n);
	for (size_t i = 1; i < mail.n; i++)
		assert_false(stored_mail_unpack(slice_first(mail, i), a, &m_got));
	for (size_t i = 1; i < note.n; i++)
		assert_false(stored_note_unpack(slice_first(note, i), &m, a, &n_got));
	/* Written again it is of this release, and says the same. */
	assert_true(stored_mail_unpack(pack_mail(&m, a), a, &m_got));
	assert_mail(&m_got, &m);
	arena_free(&a);
}

/* Version 2 knew nothing of rules about spam. */
static void
test_release_before(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_mail m = make_mail(rcpts), got;
	struct slice now = pack_mail(&m, a), last = SLICE("Eicar-Signature");
	size_t at = slice_find_slice(now, last) + last.n;
	struct slice before = arena_printf(a, "%*s", (int)now.n - 1, "");
	char *bytes = arena_text(a, before);
	memcpy(bytes, now.p, at);
	memcpy(bytes + at, now.p + at + 1, now.n - at - 1);
	bytes[0] = 2;
	assert_true(stored_mail_unpack((struct slice){bytes, now.n - 1}, a, &got));
	m.by_spam = false;
	assert_mail(&got, &m);
	arena_free(&a);
}

static void
test_said_together(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_mail m = {.signatures = 5, .virus = SLICE("Old")};
	assert_slice(stored_virus(&m, &(struct stored_note){0}), SLICE("Old"));
	assert_int_equal(stored_signatures(&m, &(struct stored_note){0}), 5);
	assert_slice(stored_virus(&m, &(struct stored_note){.scanned = 6}), SLICE_NONE);
	assert_int_equal(stored_signatures(&m, &(struct stored_note){.scanned = 6}), 6);
	/* Of a scanner that does not tell its signatures. */
	struct stored_note found = {.virus = SLICE("New")};
	assert_slice(stored_virus(&m, &found), SLICE("New"));
	assert_int_equal(stored_signatures(&m, &found), 0);

	struct slice h = SLICE_NONE;
	assert_slice(stored_history(h, SLICE("first"), a), SLICE("first\n"));
	for (unsigned i = 0; i < 1000; i++) {
		h = stored_history(h, arena_printf(a, "line %u", i), a);
		assert_true(h.n <= STORED_HISTORY_MOST);
	}
	assert_true(slice_ends(h, SLICE("line 998\nline 999\n")));
	assert_true(slice_starts(h, SLICE("line ")));
	char *longest = test_malloc(3 * STORED_HISTORY_MOST);
	memset(longest, 'x', 3 * STORED_HISTORY_MOST);
	h = stored_history(h, (struct slice){longest, 3 * STORED_HISTORY_MOST}, a);
	assert_int_equal(h.n, STORED_HISTORY_MOST);
	test_free(longest);
	arena_free(&a);
}

/* A run of recipients: its first and its length stand behind the head and the count. */
static void
test_bad_runs(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		uint8_t first[2], n[2]; /* of the two runs of the note */
		bool good;
	} rows[] = {
		{"as packed", {1, 3}, {1, 1}, true},
		{"longer ones", {0, 2}, {2, 2}, true},
		{"of nobody", {1, 3}, {0, 1}, false},
		{"over each other", {1, 2}, {2, 1}, false},
		{"backwards", {3, 1}, {1, 1}, false},
		{"beyond the last", {1, 3}, {1, 2}, false},
		{"all beyond", {1, 4}, {1, 1}, false},
	};
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts);
	struct stored_note n = make_note(notes, &m), got;
	enum { FIRST = 7 + 4 + 8 + 8 + 4 + 4, FIXED = 4 + 46 };
	n.by = n.virus = n.history = SLICE_NONE;
	struct slice note = pack_note(&n, a);
	size_t second = note.n - FIXED; /* the last run has no words */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *bytes = arena_text(a, note);
		assert_int_equal(bytes[second], 3);
		bytes[FIRST] = (char)rows[i].first[0];
		bytes[FIRST + 2] = (char)rows[i].n[0];
		bytes[second] = (char)rows[i].first[1];
		bytes[second + 2] = (char)rows[i].n[1];
		struct slice in = {bytes, note.n};
		if (stored_note_unpack(in, &m, a, &got) != rows[i].good)
			fail_msg("runs %s", rows[i].what);
	}
	arena_free(&a);
}

/* What could break a command or a header is not stored; what people read is cleaned. */
static void
test_hostile(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts);
	struct stored_note n = make_note(notes, &m), got;
	struct slice bad = SLICE("x>\r\nRCPT TO:<y"),
		     *exact[] = {&m.user, &m.quarantine, &m.route, &m.params.envid,
			     &m.params.auth, &m.sender.raw, &m.sender.text, &m.sender.local,
			     &m.sender.domain, &rcpts[1].address.raw, &rcpts[1].params.orcpt,
			     &rcpts[1].site};
	struct buf out;
	buf_init(&out, CUSTODY_ENVELOPE_MOST);
	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
		struct slice old = *exact[i];
		*exact[i] = bad;
		assert_int_equal(stored_mail_pack(&m, &out), -1);
		assert_int_equal(out.used, 0);
		*exact[i] = old;
	}
	assert_int_equal(stored_mail_pack(&m, &out), 0);
	buf_clear(&out);

	char words[600];
	memset(words, 'w', sizeof(words));
	words[0] = '\r';
	words[1] = '\0';
	words[2] = '\n';
	memcpy(words + 511, "\xc3\xbc", 2);
	notes[1].reply.text = (struct slice){words, sizeof(words)};
	notes[1].host = SLICE("mx\r\n.example");
	assert_true(stored_note_unpack(pack_note(&n, a), &m, a, &got));
	assert_int_equal(got.rcpts[1].reply.text.n, 511);
	assert_memory_equal(got.rcpts[1].reply.text.p, "??\nw", 4);
	assert_slice(got.rcpts[1].host, SLICE("mx??.example"));
	arena_free(&a);
}

static void
test_full(void **state)
{
	(void)state;
	struct arena *a = arena_new(ARENA_BYTES);
	struct stored_rcpt rcpts[4];
	struct stored_rcpt_note notes[4];
	struct stored_mail m = make_mail(rcpts);
	struct stored_note n = make_note(notes, &m);
	struct buf out;
	for (size_t room = 0, mail = pack_mail(&m, a).n; room <= mail; room++) {
		buf_init(&out, room);
		assert_int_equal(stored_mail_pack(&m, &out), room < mail ? -1 : 0);
		assert_int_equal(out.used, room < mail ? 0 : mail);
		buf_fini(&out);
	}
	for (size_t room = 0, note = pack_note(&n, a).n; room <= note; room++) {
		buf_init(&out, room);
		assert_int_equal(stored_note_pack(&n, &out), room < note ? -1 : 0);
		assert_int_equal(out.used, room < note ? 0 : note);
		buf_fini(&out);
	}
	m.n_rcpts = STORED_RCPTS_MOST + 1;
	buf_init(&out, CUSTODY_ENVELOPE_MOST);
	assert_int_equal(stored_mail_pack(&m, &out), -1);
	arena_free(&a);
}

struct many {
	struct arena *a;
	struct stored_mail m;
	struct stored_note n;
};

static void
make_many(struct many *x)
{
	x->a = arena_new((size_t)64 * 1024 * 1024);
	x->m = (struct stored_mail){
		.sender = address_of("a@example.org"), .n_rcpts = STORED_RCPTS_MOST};
	x->m.rcpts = arena_array(x->a, STORED_RCPTS_MOST, sizeof(*x->m.rcpts));
	x->n = (struct stored_note){.n_rcpts = STORED_RCPTS_MOST};
	x->n.rcpts = arena_array(x->a, STORED_RCPTS_MOST, sizeof(*x->n.rcpts));
	for (size_t i = 0; i < STORED_RCPTS_MOST; i++) {
		struct stored_rcpt *r = &x->m.rcpts[i];
		r->address =
			address_of(arena_printf(x->a, "rcpt-%zu@dest-%zu.example", i, i % 7).p);
		r->site = r->address.domain;
	}
}

static void
test_many(void **state)
{
	(void)state;
	struct many x;
	struct stored_mail m_got;
	struct stored_note n_got;
	make_many(&x);
	struct slice mail = pack_mail(&x.m, x.a);
	assert_in_range(mail.n, 1, 50 * STORED_RCPTS_MOST);
	struct arena *tight = arena_new((size_t)3 * 1024 * 1024); /* stored.h */
	assert_true(stored_mail_unpack(mail, tight, &m_got));
	assert_mail(&m_got, &x.m);
	assert_true(stored_note_unpack(SLICE_NONE, &m_got, tight, &n_got));
	assert_note(&n_got, &x.n);
	arena_free(&tight);

	/* One with a history; then all with the same; then all with the longest of their own.
	 */
	x.n.rcpts[5000].attempts = 1;
	assert_in_range(pack_note(&x.n, x.a).n, 1, 100);
	for (size_t i = 0; i < STORED_RCPTS_MOST; i++)
		x.n.rcpts[i].state = RCPT_DELIVERED;
	x.n.rcpts[5000].attempts = 0;
	assert_in_range(pack_note(&x.n, x.a).n, 1, 100);
	struct slice words = arena_slice(
		x.a, (struct slice){arena_alloc(x.a, STORED_WORDS_MOST), STORED_WORDS_MOST});
	for (size_t i = 0; i < STORED_RCPTS_MOST; i++) {
		x.n.rcpts[i].attempts = (uint32_t)i;
		x.n.rcpts[i].reply.code = 550;
		x.n.rcpts[i].reply.text = words;
		x.n.rcpts[i].host = slice_first(words, 253);
		x.n.rcpts[i].address.family = 6;
	}
	struct slice note = pack_note(&x.n, x.a);
	assert_in_range(note.n, 8000000, CUSTODY_NOTE_MOST);
	assert_true(stored_note_unpack(note, &x.m, x.a, &n_got));
	assert_int_equal(n_got.rcpts[9999].attempts, 9999);
	assert_int_equal(n_got.rcpts[9999].reply.text.n, STORED_WORDS_MOST);
	arena_free(&x.a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_enums),
		cmocka_unit_test(test_all_waiting_is_empty),
		cmocka_unit_test(test_cut_and_grown),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_later_release),
		cmocka_unit_test(test_earlier_release),
		cmocka_unit_test(test_release_before),
		cmocka_unit_test(test_said_together),
		cmocka_unit_test(test_bad_runs),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
