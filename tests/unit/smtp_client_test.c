/*
 * The client machine against scripted remotes (EXT-01 to -06, EXT-14, SMG-07, SMG-08). A script
 * is lines of '<' (the remote says), '>' (the machine must have written, exactly) and '!' (the
 * driver does). Each script is run whole, byte by byte, and with every reply of it split at
 * every offset, each piece on a guarded page; the result must be the same in all runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/must.h"
#include "feed.h"
#include "smtp/client.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

enum { RCPTS_MOST = 4, SCRIPT_BYTES = 128 * 1024 };

struct scenario {
	const char *name;
	const char *script;
	const char *result; /* see describe() */
	size_t rcpts;       /* 0: one */
	bool lmtp, all_or_none, probe, utf8, dsn, eightbit, auth;
	enum smtp_client_tls tls;
	uint64_t size;
};

/* Where the script is fed in pieces: -1 never, else before byte `cut` of what the remote says.
 */
enum { WHOLE = -1, BYTES = -2 };

struct run {
	const struct scenario *s;
	struct arena *arena;
	struct smtp_client *client;
	struct smtp_client_mail mail;
	struct smtp_client_rcpt rcpts[RCPTS_MOST];
	struct buf written;
	long cut;
	long said; /* bytes by the remote so far */
	unsigned settled;
};

#define MAIL_BODY "Subject: x\r\n\r\n.dot\r\nlast"

static struct address
address_of(struct arena *a, const char *local)
{
	struct slice text = arena_printf(a, "%s@example.org", local);
	return (struct address){.local = slice_of(local),
		.domain = SLICE("example.org"),
		.text = text,
		.raw = text};
}

static void
run_send(struct run *r)
{
	static const char *const locals[RCPTS_MOST] = {"r1", "r2", "r3", "r4"};
	const struct scenario *s = r->s;
	r->mail = (struct smtp_client_mail){.sender = address_of(r->arena, "s"),
		.rcpts = r->rcpts,
		.n_rcpts = s->rcpts != 0 ? s->rcpts : 1,
		.all_or_none = s->all_or_none,
		.probe = s->probe,
		.arena = r->arena,
		.params = {.size = s->size,
			.smtputf8 = s->utf8,
			.body = s->eightbit ? SMTP_BODY_8BITMIME : SMTP_BODY_NONE}};
	if (s->dsn) {
		r->mail.params.ret = SMTP_RET_HDRS;
		r->mail.params.envid = SLICE("id+2B1");
	}
	for (size_t i = 0; i < r->mail.n_rcpts; i++) {
		r->rcpts[i] =
			(struct smtp_client_rcpt){.address = address_of(r->arena, locals[i])};
		if (s->dsn) {
			r->rcpts[i].params.notify = SMTP_NOTIFY_NEVER;
			r->rcpts[i].params.orcpt = SLICE("rfc822;o@example.org");
		}
	}
	smtp_client_send(r->client, &r->mail);
}

/* Takes the output and gives the body where it is wanted, a few bytes at a time. */
static void
run_drain(struct run *r)
{
	static const size_t step = 7;
	size_t given = 0;
	for (;;) {
		struct slice out = smtp_client_output(r->client);
		if (out.n > 0) {
			size_t n = out.n < step ? out.n : step;
			must(buf_add(&r->written, slice_first(out, n)) == 0);
			smtp_client_written(r->client, n);
		} else if (smtp_client_wants_body(r->client) > 0 &&
			   given < sizeof(MAIL_BODY) - 1) {
			struct slice piece =
				slice_first(slice_from(SLICE(MAIL_BODY), given), step);
			smtp_client_body(r->client, piece);
			given += piece.n;
		} else if (smtp_client_phase(r->client) == SMTP_CL_BODY) {
			smtp_client_body_end(r->client);
		} else {
			break;
		}
	}
	r->settled += smtp_client_done(r->client);
}

static void
run_feed_piece(struct run *r, struct slice piece)
{
	if (piece.n == 0)
		return;
	struct guarded g = guarded_new(piece);
	assert_int_equal(smtp_client_feed(r->client, g.in), piece.n);
	guarded_free(&g);
	r->said += (long)piece.n;
}

static void
run_say(struct run *r, struct slice text)
{
	if (r->cut == BYTES) {
		for (size_t i = 0; i < text.n; i++)
			run_feed_piece(r, slice_first(slice_from(text, i), 1));
		return;
	}
	size_t at = r->cut > r->said ? (size_t)(r->cut - r->said) : 0;
	run_feed_piece(r, slice_first(text, at));
	run_feed_piece(r, slice_from(text, at));
}

static void
run_command(struct run *r, struct slice word)
{
	if (slice_eq(word, SLICE("send")))
		run_send(r);
	else if (slice_eq(word, SLICE("tls")))
		smtp_client_tls_started(r->client);
	else if (slice_eq(word, SLICE("quit")))
		smtp_client_quit(r->client);
	else if (slice_eq(word, SLICE("lost")))
		smtp_client_lost(r->client, "lost");
	else
		fail_msg("unknown command %.*s", SLICE_ARG(word));
}

/* Lines of one kind in front of *script, with CRLF; "~" at the end: none; "^": a bare LF. */
static struct slice
take_block(struct run *r, struct slice *script, char kind)
{
	struct buf b;
	buf_init(&b, SCRIPT_BYTES);
	while (script->n > 0 && script->p[0] == kind) {
		struct slice line;
		slice_cut(*script, '\n', &line, script);
		buf_add(&b, slice_from(line, 1));
		if (!slice_ends(
			    line, SLICE("~"))) /* "~": no line end, what follows is said on */
			buf_add(&b, SLICE("\r\n"));
		else
			b.used--;
	}
	char *text = arena_text(r->arena, buf_slice(&b));
	for (char *p = text; (p = strchr(p, '^')) != NULL;)
		*p = '\n';
	buf_fini(&b);
	return slice_of(text);
}

static const char *
phase_name(enum smtp_client_phase p)
{
	static const char *const names[] = {"greeting", "ehlo", "starttls", "tls", "auth",
		"ready", "xclient", "mail", "rcpt", "data", "body", "dot", "rset", "quit",
		"closed"};
	return names[p];
}

/* "CODE PHASE; RCPT-CODE[s] ...; client phase[, failed CODE]" */
static struct slice
describe(struct run *r)
{
	struct smtp_reply ended;
	const char *why;
	struct slice t = SLICE("-");
	if (r->mail.n_rcpts > 0) {
		t = arena_printf(
			r->arena, "%d %s;", r->mail.reply.code, phase_name(r->mail.phase));
		for (size_t i = 0; i < r->mail.n_rcpts; i++)
			t = arena_printf(r->arena, "%.*s %d%s", SLICE_ARG(t),
				r->rcpts[i].reply.code, r->rcpts[i].sent ? "s" : "");
	}
	t = arena_printf(
		r->arena, "%.*s; %s", SLICE_ARG(t), phase_name(smtp_client_phase(r->client)));
	if (smtp_client_failed(r->client, &ended, &why))
		t = arena_printf(r->arena, "%.*s, failed %d", SLICE_ARG(t), ended.code);
	return t;
}

static void
run_script(struct run *r)
{
	struct slice script = slice_of(r->s->script);
	unsigned sent = 0;
	while (script.n > 0) {
		char kind = script.p[0];
		struct slice text = take_block(r, &script, kind);
		if (kind == '<') {
			run_say(r, text);
		} else if (kind == '!') {
			sent += slice_eq(slice_trim(text), SLICE("send"));
			run_command(r, slice_trim(text));
		} else {
			struct slice got = buf_slice(&r->written);
			if (!slice_eq(got, text))
				fail_msg("%s (cut %ld): written\n%.*s\nwanted\n%.*s",
					r->s->name, r->cut, SLICE_ARG(got), SLICE_ARG(text));
			buf_clear(&r->written);
		}
		run_drain(r);
	}
	struct slice result = describe(r);
	if (r->written.used != 0 || r->settled != sent ||
		!slice_eq(result, slice_of(r->s->result)))
		fail_msg("%s (cut %ld): settled %u of %u: %.*s, wanted %s", r->s->name, r->cut,
			r->settled, sent, SLICE_ARG(result), r->s->result);
}

static long
run_one(const struct scenario *s, long cut)
{
	struct run r = {.s = s, .cut = cut};
	r.arena = arena_new((size_t)8 * SCRIPT_BYTES);
	buf_init(&r.written, SCRIPT_BYTES);
	struct smtp_client_config config = {
		.hostname = SLICE("gate.example"), .lmtp = s->lmtp, .tls = s->tls};
	if (s->auth) {
		config.user = SLICE("alice");
		config.password = SLICE("secret");
	}
	r.client = smtp_client_new(&config);
	run_script(&r);
	long said = r.said;
	smtp_client_free(&r.client);
	buf_fini(&r.written);
	arena_free(&r.arena);
	return said;
}

#define GREET "<220 remote\n>EHLO gate.example\n"
#define PLAIN GREET "<250 remote\n!send\n"
#define PIPE  GREET "<250-remote\n<250 PIPELINING\n!send\n"
#define M     ">MAIL FROM:<s@example.org>\n"
#define R1    ">RCPT TO:<r1@example.org>\n"
#define R2    ">RCPT TO:<r2@example.org>\n"
#define R3    ">RCPT TO:<r3@example.org>\n"
#define D     ">DATA\n"
#define BODY  ">Subject: x\n>\n>..dot\n>last\n>.\n"
#define OK    "<250 2.0.0 ok\n"
#define GO    "<354 go\n"
#define LHLO  "<220 lmtp\n>LHLO gate.example\n<250-lmtp\n<250 PIPELINING\n!send\n"

#define S(n, s, r, ...)                                          \
	{                                                        \
		.name = n, .script = s, .result = r, __VA_ARGS__ \
	}

static const struct scenario scenarios[] = {
	S("one at a time", PLAIN M OK R1 OK D GO BODY OK, "250 dot; 250s; ready"),
	S("several, one at a time", PLAIN M OK R1 OK R2 "<550 5.1.1 no\n" R3 OK D GO BODY OK,
		"250 dot; 250s 550 250s; ready", .rcpts = 3),
	S("pipelined in one write (EXT-01)", PIPE M R1 R2 D OK OK OK GO BODY OK,
		"250 dot; 250s 250s; ready", .rcpts = 2),
	S("replies in one segment",
		PIPE M R1 R2 D "<250 ok\n<250 ok\n<451 later\n<354 go\n" BODY OK,
		"250 dot; 250s 451; ready", .rcpts = 2),
	S("the dot is refused", PIPE M R1 D OK OK GO BODY "<554 5.7.1 spam\n",
		"554 dot; 554s; ready"),
	S("MAIL refused, the rest answered by position",
		PIPE M R1 R2 D "<550 5.7.1 not you\n<503 a\n<503 b\n<503 c\n",
		"550 mail; 0 0; ready", .rcpts = 2),
	S("MAIL refused without pipelining", PLAIN M "<451 4.3.0 later\n",
		"451 mail; 0; ready"),
	S("MAIL refused, 354 all the same: a dot alone",
		PIPE M R1 D "<550 no\n<503 x\n<354 go\n>.\n<503 x\n", "550 mail; 0; ready"),
	S("all refused, DATA refused, RSET",
		PIPE M R1 R2 D OK "<550 5.1.1 a\n<450 b\n<503 none\n>RSET\n" OK,
		"550 rcpt; 550 450; ready", .rcpts = 2),
	S("all refused, 354: a dot alone, no RSET",
		PIPE M R1 R2 D OK "<550 a\n<551 b\n<354 go\n>.\n<554 none\n",
		"550 rcpt; 550 551; ready", .rcpts = 2),
	S("all refused, 354, and 250 for nothing",
		PIPE M R1 D OK "<550 a\n<354 go\n>.\n<250 thanks\n", "550 rcpt; 550; ready"),
	S("all refused without pipelining: no DATA", PLAIN M OK R1 "<550 a\n>RSET\n" OK,
		"550 rcpt; 550; ready"),
	S("all or none: DATA waits, RSET", PIPE M R1 R2 OK OK "<550 5.1.1 b\n>RSET\n" OK,
		"550 rcpt; 250 550; ready", .rcpts = 2, .all_or_none = true),
	S("all or none, all taken", PIPE M R1 R2 OK OK OK D GO BODY OK,
		"250 dot; 250s 250s; ready", .rcpts = 2, .all_or_none = true),
	S("all or none with one recipient is pipelined", PIPE M R1 D OK OK GO BODY OK,
		"250 dot; 250s; ready", .all_or_none = true),
	S("a probe ends behind RCPT", PIPE M R1 OK OK ">RSET\n" OK, "250 rcpt; 250; ready",
		.probe = true),
	S("a probe, not known", PLAIN M OK R1 "<550 5.1.1 no\n>RSET\n" OK,
		"550 rcpt; 550; ready", .probe = true),
	S("DATA refused", PIPE M R1 D OK OK "<451 4.3.1 full\n>RSET\n" OK,
		"451 data; 250; ready"),
	S("DATA answered 250 is out of step", PIPE M R1 D OK OK OK,
		"0 data; 250; closed, failed 0"),
	S("another mail, no RSET between",
		PIPE M R1 D OK OK GO BODY OK "!send\n" M R1 D OK OK GO BODY OK,
		"250 dot; 250s; ready"),
	S("another mail after a refused one",
		PLAIN M OK R1 "<550 a\n>RSET\n" OK "!send\n" M OK R1 OK D GO BODY OK,
		"250 dot; 250s; ready"),
	S("RSET refused", PLAIN M OK R1 "<550 a\n>RSET\n<500 what\n",
		"550 rcpt; 550; closed, failed 500"),
	S("421 to MAIL", PIPE M R1 D "<421 4.3.2 going\n", "421 mail; 0; closed, failed 421"),
	S("421 to RCPT", PIPE M R1 R2 D OK OK "<421 going\n",
		"421 rcpt; 250 0; closed, failed 421", .rcpts = 2),
	S("421 to the dot", PIPE M R1 D OK OK GO BODY "<421 going\n",
		"421 dot; 421s; closed, failed 421"),
	S("lost before the greeting", "!lost\n", "-; closed, failed 0"),
	S("lost in MAIL", PIPE M R1 D "!lost\n", "0 mail; 0; closed, failed 0"),
	S("lost in DATA", PIPE M R1 D OK OK "!lost\n", "0 data; 250; closed, failed 0"),
	S("lost after the dot: in doubt", PIPE M R1 D OK OK GO BODY "!lost\n",
		"0 dot; 0s; closed, failed 0"),
	S("refused within the data", PIPE M R1 D OK OK "<354 go\n<552 5.3.4 big\n",
		"552 body; 250; closed, failed 552"),
	S("a yes before the dot is a lie (SMG-08)", PIPE M R1 D OK OK "<354 go\n<250 ok\n",
		"0 body; 250; closed, failed 0"),
	S("one reply too many (SMG-08)", PIPE M R1 D OK OK GO BODY "<250 ok\n<250 ok\n",
		"250 dot; 250s; closed, failed 0"),
	S("a reply before the command", GREET "<250 remote\n<250 ok\n", "-; closed, failed 0"),
	S("half a reply before the command", GREET "<250 remote\n<25~\n!send\n",
		"0 mail; 0; closed, failed 0"),
	S("nonsense for a reply", PIPE M R1 D "<850 nonsense\n", "0 mail; 0; closed, failed 0"),
	S("lines with different codes", PIPE M R1 D "<250-a\n<550 b\n",
		"0 mail; 0; closed, failed 0"),
	S("a bare LF within a reply", PIPE M R1 D "<250 a^<250 b\n",
		"0 mail; 0; closed, failed 0"),
	S("3yz to MAIL", PIPE M R1 D "<354 go\n", "0 mail; 0; closed, failed 0"),
	S("many lines in a reply", PIPE M R1 D "<250-a\n<250-b\n<250 c\n" OK GO BODY OK,
		"250 dot; 250s; ready"),
	S("idle and told to go", GREET "<250 remote\n<421 4.4.2 idle\n",
		"-; closed, failed 421"),
	S("greeting refuses", "<554 5.7.1 not you\n", "-; closed, failed 554"),
	S("greeting of many lines",
		"<220-remote\n<220 ready\n>EHLO gate.example\n<250 a\n!quit\n>QUIT\n<221 bye\n",
		"-; closed"),
	S("a dead end behind QUIT", GREET "<250 a\n!quit\n>QUIT\n!lost\n", "-; closed"),
	S("EHLO refused, HELO",
		GREET "<502 what\n>HELO gate.example\n<250-a\n<250 PIPELINING\n!send\n" M OK R1
			OK D GO BODY OK,
		"250 dot; 250s; ready"),
	S("EHLO deferred", GREET "<451 later\n", "-; closed, failed 451"),
	S("EHLO and HELO refused", GREET "<550 no\n>HELO gate.example\n<550 no\n",
		"-; closed, failed 550"),
	S("parameters, all on offer (EXT-02, EXT-05, EXT-06)",
		GREET "<250-a\n<250-SIZE 1000\n<250-8bitmime\n<250-SMTPUTF8\n<250 DSN\n!send\n"
		      ">MAIL FROM:<s@example.org> SIZE=500 BODY=8BITMIME SMTPUTF8 RET=HDRS "
		      "ENVID=id+2B1\n" OK
		      ">RCPT TO:<r1@example.org> NOTIFY=NEVER ORCPT=rfc822;o@example.org\n" OK D
			      GO BODY OK,
		"250 dot; 250s; ready", .size = 500, .utf8 = true, .dsn = true,
		.eightbit = true),
	S("parameters, none on offer", PLAIN M OK R1 OK D GO BODY OK, "250 dot; 250s; ready",
		.size = 500, .dsn = true, .eightbit = true),
	S("too large for the remote: not asked (EXT-02)",
		GREET "<250-a\n<250 SIZE 499\n!send\n", "552 mail; 0; ready", .size = 500),
	S("SIZE without a limit",
		GREET "<250-a\n<250 SIZE\n!send\n>MAIL FROM:<s@example.org> SIZE=500\n" OK R1 OK
			D GO BODY OK,
		"250 dot; 250s; ready", .size = 500),
	S("SMTPUTF8 lacking: never downgraded (EXT-05)", PLAIN, "550 mail; 0; ready",
		.utf8 = true),
	S("LMTP, a reply for each (EXT-14)",
		LHLO M R1 R2 R3 D OK OK "<550 no\n" OK GO BODY "<450 full\n<250 ok\n",
		"250 dot; 450s 550 250s; ready", .rcpts = 3, .lmtp = true),
	S("LMTP, lost between", LHLO M R1 R2 D OK OK OK GO BODY "<250 ok\n!lost\n",
		"0 dot; 250s 0s; closed, failed 0", .rcpts = 2, .lmtp = true),
	S("LMTP, all refused", LHLO M R1 D OK "<550 no\n<503 none\n>RSET\n" OK,
		"550 rcpt; 550; ready", .lmtp = true),
	S("LMTP, 354 for nobody", LHLO M R1 D OK "<550 no\n<354 go\n",
		"550 rcpt; 550; closed, failed 0", .lmtp = true),
	S("LMTP, a reply too many", LHLO M R1 D OK OK GO BODY "<250 ok\n<250 ok\n",
		"250 dot; 250s; closed, failed 0", .lmtp = true),
	S("TLS where it is on offer",
		GREET "<250-a\n<250 STARTTLS\n>STARTTLS\n<220 go\n!tls\n>EHLO gate.example\n"
		      "<250-a\n<250 PIPELINING\n!send\n" M R1 D OK OK GO BODY OK,
		"250 dot; 250s; ready", .tls = SMTP_TLS_MAY),
	S("offers in clear are forgotten (SMG-07)",
		GREET "<250-a\n<250-PIPELINING\n<250-SIZE 1\n<250 STARTTLS\n"
		      ">STARTTLS\n<220 go\n!tls\n>EHLO gate.example\n<250 a\n!send\n" M OK R1 OK
			      D GO BODY OK,
		"250 dot; 250s; ready", .tls = SMTP_TLS_MAY, .size = 500),
	S("clear text behind the 220 (SMG-07)",
		GREET "<250-a\n<250 STARTTLS\n>STARTTLS\n<220 ok\n<250-AUTH PLAIN\n",
		"-; closed, failed 0", .tls = SMTP_TLS_MAY),
	S("STARTTLS, the other 2yz",
		GREET "<250-a\n<250 STARTTLS\n>STARTTLS\n<250 go\n!tls\n>EHLO gate.example\n"
		      "<250 a\n!send\n" M OK R1 OK D GO BODY OK,
		"250 dot; 250s; ready", .tls = SMTP_TLS_MAY),
	S("STARTTLS refused, in clear",
		GREET
		"<250-a\n<250 STARTTLS\n>STARTTLS\n<454 no\n!send\n" M OK R1 OK D GO BODY OK,
		"250 dot; 250s; ready", .tls = SMTP_TLS_MAY),
	S("STARTTLS refused where it must be",
		GREET "<250-a\n<250 STARTTLS\n>STARTTLS\n<454 no\n", "-; closed, failed 454",
		.tls = SMTP_TLS_MUST),
	S("TLS not on offer where it must be", GREET "<250 a\n", "-; closed, failed 0",
		.tls = SMTP_TLS_MUST),
	S("not asked to: no STARTTLS",
		GREET "<250-a\n<250 STARTTLS\n!send\n" M OK R1 OK D GO BODY OK,
		"250 dot; 250s; ready"),
	S("AUTH PLAIN",
		GREET "<250-a\n<250 AUTH LOGIN PLAIN\n>AUTH PLAIN AGFsaWNlAHNlY3JldA==\n<235 "
		      "2.7.0 ok\n!quit\n>QUIT\n<221 bye\n",
		"-; closed", .tls = SMTP_TLS_ALREADY, .auth = true),
	S("AUTH LOGIN",
		GREET "<250-a\n<250 AUTH=LOGIN\n>AUTH LOGIN\n<334 "
		      "VXNlcm5hbWU6\n>YWxpY2U=\n<334 UGFzc3dvcmQ6\n"
		      ">c2VjcmV0\n<235 ok\n!quit\n>QUIT\n<221 bye\n",
		"-; closed", .tls = SMTP_TLS_ALREADY, .auth = true),
	S("AUTH refused",
		GREET
		"<250-a\n<250 AUTH PLAIN\n>AUTH PLAIN AGFsaWNlAHNlY3JldA==\n<535 5.7.8 no\n",
		"-; closed, failed 535", .tls = SMTP_TLS_ALREADY, .auth = true),
	S("AUTH PLAIN asked for more",
		GREET "<250-a\n<250 AUTH PLAIN\n>AUTH PLAIN AGFsaWNlAHNlY3JldA==\n<334 more\n",
		"-; closed, failed 334", .tls = SMTP_TLS_ALREADY, .auth = true),
	S("no password in clear", GREET "<250-a\n<250 AUTH PLAIN\n", "-; closed, failed 0",
		.tls = SMTP_TLS_NEVER, .auth = true),
	S("no mechanism of ours", GREET "<250-a\n<250 AUTH SCRAM-SHA-1\n",
		"-; closed, failed 0", .tls = SMTP_TLS_ALREADY, .auth = true),
};

static void
test_scenarios(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY(scenarios); i++) {
		long said = run_one(&scenarios[i], WHOLE);
		run_one(&scenarios[i], BYTES);
		for (long cut = 1; cut < said; cut++)
			run_one(&scenarios[i], cut);
	}
}

/* An endless reply ends the connection; it never fills memory (SMG-08). */
static void
test_endless_reply(void **state)
{
	(void)state;
	struct smtp_client_config config = {.hostname = SLICE("gate.example")};
	struct smtp_client *c = smtp_client_new(&config);
	size_t fed = 0;
	while (smtp_client_phase(c) != SMTP_CL_CLOSED && fed < 1024 * 1024)
		fed += smtp_client_feed(
			c, SLICE("220-all work and no play makes a dull reply\r\n"));
	assert_in_range(fed, 1024, 2 * SMTP_REPLY_BYTES_MOST);
	struct smtp_reply r;
	const char *why;
	assert_true(smtp_client_failed(c, &r, &why));
	assert_int_equal(r.code, 0);
	smtp_client_free(&c);
}

static void
say(struct smtp_client *c, const char *text)
{
	smtp_client_written(c, smtp_client_output(c).n);
	smtp_client_feed(c, slice_of(text));
}

/* More recipients than the output holds: written on as it drains, none lost, none twice. */
static void
test_many_recipients(void **state)
{
	(void)state;
	enum { MANY = 2000 };
	struct arena *a = arena_new((size_t)16 * 1024 * 1024);
	struct smtp_client_config config = {.hostname = SLICE("gate.example")};
	struct smtp_client *c = smtp_client_new(&config);
	say(c, "220 x\r\n");
	say(c, "250-x\r\n250 PIPELINING\r\n");
	struct smtp_client_mail m = {.sender = address_of(a, "s"), .n_rcpts = MANY, .arena = a};
	m.rcpts = arena_array(a, MANY, sizeof(*m.rcpts));
	for (size_t i = 0; i < MANY; i++)
		m.rcpts[i].address =
			address_of(a, arena_printf(a, "recipient-of-some-length-%zu", i).p);
	smtp_client_send(c, &m);
	size_t lines = 0;
	for (struct slice out; (out = smtp_client_output(c)).n > 0;) {
		for (size_t i = 0; i < out.n; i++)
			lines += out.p[i] == '\n';
		smtp_client_written(c, out.n);
	}
	assert_int_equal(lines, MANY + 2);
	for (size_t i = 0; i < MANY + 1; i++)
		smtp_client_feed(c, SLICE("250 ok\r\n"));
	assert_int_equal(smtp_client_phase(c), SMTP_CL_DATA);
	smtp_client_feed(c, SLICE("354 go\r\n"));
	assert_int_equal(smtp_client_phase(c), SMTP_CL_BODY);
	smtp_client_free(&c);
	arena_free(&a);
}

/* The mail's arena is full: the codes still come, without words. */
static void
test_full_arena(void **state)
{
	(void)state;
	struct arena *a = arena_new(4096), *small = arena_new(1024);
	struct smtp_client_config config = {.hostname = SLICE("gate.example")};
	struct smtp_client *c = smtp_client_new(&config);
	struct smtp_client_rcpt rcpt = {.address = address_of(a, "r")};
	struct smtp_client_mail m = {
		.sender = address_of(a, "s"), .rcpts = &rcpt, .n_rcpts = 1, .arena = small};
	say(c, "220 x\r\n");
	say(c, "250 x\r\n");
	smtp_client_send(c, &m);
	say(c, "550 5.7.1 words that find no room\r\n");
	assert_true(smtp_client_done(c));
	assert_int_equal(m.reply.code, 550);
	assert_int_equal(m.reply.text.n, 0);
	smtp_client_free(&c);
	arena_free(&a);
	arena_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_endless_reply),
		cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_full_arena),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
