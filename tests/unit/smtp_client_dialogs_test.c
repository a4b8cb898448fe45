/*
 * The client machine against the scripted servers of the public suite exim-dialogs (SMG-08,
 * EXT-01, EXT-14): pipelining errors, overlong and malformed replies, refusals at every step,
 * connections that end. What must come of the first mail of each script is computed from the
 * script alone, reply by reply. A script in which the client has to say something that ours
 * never says (BDAT, AUTH without a password, a second try) is left out; the reasons are
 * printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/must.h"
#include "smtp/client.h"

enum { SCRIPT_BYTES = 256 * 1024, RCPTS_MOST = 64, PLAYED_LEAST = 200 };

/* What a script says must become of its first mail. */
struct wanted {
	bool lmtp, probe, foreign;
	int mail, rcpt[RCPTS_MOST], data, dot;
	size_t n_rcpts;
};

struct player {
	struct arena *arena;
	struct smtp_client *client;
	struct smtp_client_mail mail;
	struct smtp_client_rcpt rcpts[RCPTS_MOST];
	struct wanted wanted;
	struct buf output;
	bool sent, settled;
	const char *left_out;
};

static unsigned wrong; /* all of them are listed before the test fails */

static bool
is_output(struct slice line)
{
	return line.n > 0 && (line.p[0] == '>' || ascii_digit(line.p[0]));
}

static bool
is_verb(struct slice line, const char *verb)
{
	if (slice_starts(line, SLICE("<")))
		line = slice_from(line, 1);
	return slice_starts_nocase(line, slice_of(verb));
}

/* The code of a reply's last line; 0: it is none that a client could take. */
static int
code_of(struct slice line)
{
	if (slice_starts(line, SLICE(">")))
		line = slice_from(line, 1);
	uint64_t code;
	struct slice line_end = SLICE("\\x0a");
	for (size_t at; (at = slice_find_slice(line, line_end)) < line.n;)
		line = slice_from(line, at + line_end.n);
	if (line.n < 3 || !slice_u64(slice_first(line, 3), &code))
		return 0;
	if (line.n > 3 && line.p[3] == '-')
		return -1;
	return code >= 200 && code <= 599 ? (int)code : 0;
}

/* Pairs each expected command of the first mail with the reply behind it. */
static void
read_wanted(struct slice script, struct wanted *w)
{
	int *owed = NULL;
	bool mail = false, data = false, over = false;
	struct slice line;
	while (script.n > 0 && !over) {
		slice_cut(script, '\n', &line, &script);
		w->lmtp = w->lmtp || is_verb(line, "LHLO");
		w->foreign = w->foreign || is_verb(line, "BDAT");
		if (is_output(line) && owed != NULL) {
			int code = code_of(line);
			*owed = code > 0 ? code : *owed;
			owed = code < 0 ? owed : NULL;
		} else if (is_verb(line, "MAIL")) {
			over = mail;
			mail = true;
			owed = &w->mail;
		} else if (is_verb(line, "RCPT") && w->n_rcpts < RCPTS_MOST) {
			owed = &w->rcpt[w->n_rcpts++];
		} else if (is_verb(line, "DATA")) {
			data = true;
			owed = &w->data;
		} else if (slice_eq(line, SLICE("."))) {
			owed = &w->dot;
		} else if (is_verb(line, "RSET") || is_verb(line, "QUIT")) {
			over = true;
		}
	}
	w->probe = !data;
	if (w->n_rcpts == 0)
		w->n_rcpts = 1;
}

static void
take_output(struct player *p)
{
	struct slice out;
	while ((out = smtp_client_output(p->client)).n > 0) {
		must(buf_add(&p->output, out) == 0);
		smtp_client_written(p->client, out.n);
	}
	p->settled = p->settled || smtp_client_done(p->client);
}

static void
send_when_ready(struct player *p)
{
	if (p->sent || smtp_client_phase(p->client) != SMTP_CL_READY)
		return;
	p->sent = true;
	smtp_client_send(p->client, &p->mail);
	take_output(p);
}

static struct slice
unescape(struct player *p, struct slice line)
{
	char *to = arena_alloc(p->arena, line.n + 3);
	size_t n = 0;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '\\' && i + 3 < line.n && line.p[i + 1] == 'x') {
			to[n++] = (char)(ascii_hex(line.p[i + 2]) << 4 |
					 ascii_hex(line.p[i + 3]));
			i += 3;
		} else {
			to[n++] = line.p[i];
		}
	}
	return (struct slice){to, n};
}

static void
say(struct player *p, struct slice line)
{
	const char *end = "\r\n";
	if (slice_starts(line, SLICE(">*eof"))) {
		smtp_client_lost(p->client, "closed by the script");
		take_output(p);
		return;
	}
	if (slice_starts(line, SLICE(">>"))) {
		end = "";
		line = slice_from(line, 2);
	} else if (slice_starts(line, SLICE(">CR>")) || slice_starts(line, SLICE(">LF>"))) {
		end = line.p[1] == 'C' ? "\r" : "\n";
		line = slice_from(line, 4);
	} else if (slice_starts(line, SLICE(">"))) {
		line = slice_from(line, 1);
	}
	smtp_client_feed(p->client, unescape(p, line));
	smtp_client_feed(p->client, slice_of(end));
	take_output(p);
}

/* The next line that we have written has to begin as the script wants it. */
static void
hear(struct player *p, struct slice want)
{
	char verb[5];
	send_when_ready(p);
	struct slice all = buf_slice(&p->output);
	size_t end = slice_find(all, '\n');
	snprintf(verb, sizeof(verb), "%.*s", SLICE_ARG(slice_first(want, 4)));
	if (p->settled)
		return;
	if (end == all.n)
		p->left_out = "the script waits for what we do not say";
	else if (!is_verb(all, verb))
		p->left_out = "the script wants another command";
	else
		buf_consume(&p->output, end + 1);
}

static void
hear_data(struct player *p)
{
	if (smtp_client_wants_body(p->client) > 0) {
		smtp_client_body(p->client, SLICE("Subject: x\r\n\r\n.x\r\n"));
		smtp_client_body_end(p->client);
		take_output(p);
	}
	if (!slice_ends(buf_slice(&p->output), SLICE(".\r\n")))
		p->left_out = "the script waits for what we do not say";
	buf_clear(&p->output);
}

static void
play_line(struct player *p, struct slice line)
{
	if (is_output(line)) {
		say(p, line);
	} else if (slice_starts(line, SLICE("*starttls"))) {
		p->left_out = "TLS";
	} else if (slice_starts(line, SLICE("*eof"))) {
		smtp_client_lost(p->client, "closed at the end of the script");
		take_output(p);
	} else if (slice_eq(line, SLICE("."))) {
		hear_data(p);
	} else if (slice_starts(line, SLICE("*data"))) {
		p->left_out = "the script counts bytes";
	} else if (line.n > 0 && line.p[0] != '*') {
		hear(p, slice_starts(line, SLICE("<")) ? slice_from(line, 1) : line);
	}
}

static int
wanted_code(const struct wanted *w)
{
	size_t taken = 0;
	int refused = 0;
	if (w->mail == 0 || w->mail >= 400)
		return w->mail;
	for (size_t i = 0; i < w->n_rcpts; i++) {
		taken += w->rcpt[i] / 100 == 2;
		if (refused == 0 && w->rcpt[i] >= 400)
			refused = w->rcpt[i];
		if (w->rcpt[i] == 421 || w->rcpt[i] == 0)
			return w->rcpt[i];
	}
	if (taken == 0)
		return refused;
	if (w->probe)
		return refused != 0 ? refused : w->rcpt[0];
	if (w->data / 100 != 3)
		return w->data >= 400 ? w->data : 0;
	return w->dot / 100 == 3 ? 0 : w->dot;
}

static void
judge(const struct player *p, const char *name)
{
	int wanted = wanted_code(&p->wanted);
	if (!p->settled) {
		wrong++;
		print_message("%s: never settled\n", name);
	}
	if (!p->wanted.lmtp && p->mail.reply.code != wanted) {
		wrong++;
		print_message("%s: %d, wanted %d\n", name, p->mail.reply.code, wanted);
	}
	for (size_t i = 0; i < p->wanted.n_rcpts && p->wanted.mail / 100 == 2; i++)
		if (p->wanted.rcpt[i] >= 400 && p->rcpts[i].reply.code != p->wanted.rcpt[i]) {
			wrong++;
			print_message("%s: recipient %zu has %d, wanted %d (SMG-08)\n", name, i,
				p->rcpts[i].reply.code, p->wanted.rcpt[i]);
		}
}

/* NULL: played and judged; else why it was left out. */
static const char *
play(const char *name, struct slice script)
{
	struct player p = {.arena = arena_new((size_t)16 * SCRIPT_BYTES)};
	struct address a = {.raw = SLICE("a@example.org"), .text = SLICE("a@example.org")};
	struct slice line;
	slice_cut(script, '\n', &line, &script); /* #CMD */
	read_wanted(script, &p.wanted);
	p.mail = (struct smtp_client_mail){.sender = a,
		.rcpts = p.rcpts,
		.n_rcpts = p.wanted.n_rcpts,
		.probe = p.wanted.probe,
		.arena = p.arena};
	for (size_t i = 0; i < p.wanted.n_rcpts; i++)
		p.rcpts[i].address = a;
	struct smtp_client_config config = {
		.hostname = SLICE("gate.example"), .lmtp = p.wanted.lmtp};
	p.client = smtp_client_new(&config);
	buf_init(&p.output, SCRIPT_BYTES);
	if (p.wanted.foreign)
		p.left_out = "CHUNKING";
	else if (p.wanted.mail == 0)
		p.left_out = "no mail in it";
	while (script.n > 0 && p.left_out == NULL && !p.settled) {
		slice_cut(script, '\n', &line, &script);
		play_line(&p, line);
	}
	smtp_client_lost(p.client, "the end of the script");
	take_output(&p);
	if (p.left_out == NULL)
		judge(&p, name);
	else if (p.sent && !p.settled)
		wrong++; /* left out and never settled */
	const char *left_out = p.left_out;
	smtp_client_free(&p.client);
	buf_fini(&p.output);
	arena_free(&p.arena);
	return left_out;
}

static void
test_dialogs(void **state)
{
	(void)state;
	static char text[SCRIPT_BYTES], path[4096];
	static struct {
		const char *reason;
		unsigned n;
	} reasons[16];
	unsigned played = 0;
	const char *suites = getenv("POSTERN_SUITES");
	snprintf(path, sizeof(path), "%s/exim-dialogs/server", suites != NULL ? suites : "");
	DIR *d = opendir(path);
	if (d == NULL) {
		print_message("SKIPPED: no %s\n", path);
		skip();
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (!slice_ends(slice_of(e->d_name), SLICE(".txt")))
			continue;
		snprintf(
			path, sizeof(path), "%s/exim-dialogs/server/%.255s", suites, e->d_name);
		FILE *f = fopen(path, "rb");
		assert_non_null(f);
		size_t n = fread(text, 1, sizeof(text), f);
		fclose(f);
		const char *why = play(e->d_name, (struct slice){text, n});
		played += why == NULL;
		size_t at = 0;
		while (why != NULL && reasons[at].reason != NULL && reasons[at].reason != why)
			at++;
		if (why != NULL) {
			reasons[at].reason = why;
			reasons[at].n++;
		}
	}
	closedir(d);
	print_message("%u server dialogues played\n", played);
	for (size_t i = 0; reasons[i].reason != NULL; i++)
		print_message("%u left out: %s\n", reasons[i].n, reasons[i].reason);
	assert_int_equal(wrong, 0);
	assert_true(played >= PLAYED_LEAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_dialogs)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
