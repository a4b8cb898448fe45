/*
 * Our DSNs behind lines of text (dkim_lines.h): "dsn N", whose bytes are lines of words with a
 * TAB between, strings as hex:
 *
 *   mail SENDER UTF8 RET ENVID GIVE_UP
 *   rcpt ACTION ADDRESS ORCPT CODE ENHANCED TEXT HOST FROM_HOP CLASS ABOUT PERMANENT ATTEMPTS
 *   original WHOLE BYTES
 *
 * Answered by "M EIGHTBIT SMTPUTF8 HEADER_BYTES" and M bytes.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "dkim_lines.h"
#include "queue/dsn.h"

enum { ARENA_MOST = 256 * 1024 * 1024 };

struct words {
	struct arena *a;
	struct slice rest;
};

static struct slice
word(struct words *w)
{
	struct slice s;
	slice_cut(w->rest, '\t', &s, &w->rest);
	return s;
}

static uint64_t
number(struct words *w)
{
	uint64_t n;
	if (!slice_u64(word(w), &n))
		errx(2, "not a number");
	return n;
}

static struct slice
hex(struct words *w)
{
	struct slice s = word(w);
	char *out = arena_alloc(w->a, s.n / 2 + 1);
	for (size_t i = 0; i + 1 < s.n; i += 2)
		out[i / 2] = (char)(ascii_hex(s.p[i]) << 4 | ascii_hex(s.p[i + 1]));
	return (struct slice){out, s.n / 2};
}

static struct address
address_of(struct slice s)
{
	size_t at = slice_find_last(s, '@');
	struct address a = {.local = slice_first(s, at), .text = s, .raw = s};
	a.domain = at < s.n ? slice_from(s, at + 1) : SLICE_NONE;
	for (size_t i = 0; i < s.n; i++)
		a.utf8 |= (unsigned char)s.p[i] >= 0x80;
	return a;
}

static void
read_rcpt(struct words *w, struct dsn_rcpt *r)
{
	struct stored_rcpt *rcpt = ARENA_NEW(w->a, struct stored_rcpt);
	struct stored_rcpt_note *note = ARENA_NEW(w->a, struct stored_rcpt_note);
	*r = (struct dsn_rcpt){.rcpt = rcpt, .note = note};
	r->action = (enum dsn_action)number(w);
	rcpt->address = address_of(hex(w));
	rcpt->params.orcpt = hex(w);
	note->reply.code = (int)number(w);
	uint64_t enhanced = number(w); /* 511 for 5.1.1 */
	note->reply.has_enhanced = enhanced != 0;
	for (size_t i = 3; i-- > 0; enhanced /= 10)
		note->reply.enhanced[i] = (uint16_t)(enhanced % 10);
	note->reply.text = hex(w);
	note->host = hex(w);
	note->from_hop = number(w) != 0;
	note->failure.class = (enum failure_class)number(w);
	note->failure.about = (enum failure_about)number(w);
	note->failure.permanent = number(w) != 0;
	note->attempts = (uint32_t)number(w);
	note->last_ms = 1795316645000;
}

static void
read_mail(struct words *w, struct stored_mail *m, struct dsn_input *in)
{
	m->sender = address_of(hex(w));
	m->params.smtputf8 = number(w) != 0;
	m->params.ret = (enum smtp_ret)number(w);
	m->params.envid = hex(w);
	in->give_up_ms = number(w);
}

static void
answer(struct slice text, struct arena *a)
{
	struct stored_mail m = {
		.own = true, .arrived_ms = 1795316600000, .log = SLICE("m-4711")};
	struct dsn_input in = {.hostname = SLICE("mx.example.org"),
		.domain = SLICE("example.org"),
		.mail = &m,
		.id = SLICE("0123456789abcdef"),
		.now_ms = 1795316700000};
	struct dsn dsn;
	in.rcpts = arena_array(a, STORED_RCPTS_MOST, sizeof(*in.rcpts));
	while (text.n > 0) {
		struct words w = {.a = a};
		slice_cut(text, '\n', &w.rest, &text);
		struct slice what = word(&w);
		if (slice_eq(what, SLICE("mail"))) {
			read_mail(&w, &m, &in);
		} else if (slice_eq(what, SLICE("rcpt"))) {
			read_rcpt(&w, &in.rcpts[in.n_rcpts++]);
		} else if (slice_eq(what, SLICE("original"))) {
			in.original_whole = number(&w) != 0;
			in.original = hex(&w);
		}
	}
	dsn_make(&in, a, &dsn);
	printf("%zu %d %d %zu\n", dsn.bytes.n, dsn.eightbit, dsn.smtputf8, dsn.header_bytes);
	fwrite(dsn.bytes.p, 1, dsn.bytes.n, stdout);
	fflush(stdout);
}

int
main(void)
{
	static struct lines l;
	while (lines_next(&l) == 1) {
		if (strcmp(l.word[0], "dsn") != 0)
			errx(2, "unknown command %s", l.word[0]);
		struct arena *a = arena_new(ARENA_MOST);
		answer((struct slice){l.bytes, l.bytes_n}, a);
		arena_free(&a);
	}
	lines_fini(&l);
	return 0;
}
