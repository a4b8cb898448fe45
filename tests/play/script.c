/*
 * The lines of a play, one by one: what the client says and hears, what the world, the next hop
 * and the MTA are like, what is expected of them (README.md has the language). Nothing here
 * knows which driver brings the client's lines to Postern.
 */
#include <stdio.h>
#include <unistd.h>

#include "play.h"

enum { EVENTS_MOST = 1024 * 1024 };

/* `*` stands for anything in a line. */
static bool
like(struct slice pattern, struct slice text)
{
	size_t star = slice_find(pattern, '*');
	if (star == pattern.n)
		return slice_eq(pattern, text);
	if (!slice_starts(text, slice_first(pattern, star)))
		return false;
	struct slice rest = slice_from(pattern, star + 1);
	for (size_t i = star; i <= text.n; i++)
		if (like(rest, slice_from(text, i)))
			return true;
	return false;
}

/* The clock goes on to `until`, or to the next thing that happens before; false: nothing does.
 */
static bool
step_clock(struct play *p, uint64_t until)
{
	uint64_t next = world_next(&p->world);
	uint64_t drivers = p->connected ? p->driver->next(p) : UINT64_MAX;
	if (drivers < next)
		next = drivers;
	if (next == UINT64_MAX || next > until)
		return false;
	if (next > p->world.now_ms)
		p->world.now_ms = next;
	bool answers = world_deliver(&p->world);
	if (p->connected)
		p->driver->step(p, answers);
	return true;
}

/* --- the client */

void
script_end_session(struct play *p)
{
	if (!p->connected)
		return;
	if (buf_slice(&p->out).n != 0)
		play_fail(p, "the client got more: %.*s", SLICE_ARG(buf_slice(&p->out)));
	p->driver->end(p);
	buf_clear(&p->out);
	p->connected = p->closed = false;
}

static void
begin_session(struct play *p, struct slice text)
{
	struct ip ip;
	script_end_session(p);
	if (!ip_parse(text, &ip)) {
		play_fail(p, "no IP address");
		return;
	}
	p->connected = true;
	p->sessions++;
	p->driver->begin(p, &ip);
}

static void
client_says(struct play *p, struct slice line)
{
	struct slice text = arena_printf(p->arena, "%.*s\r\n", SLICE_ARG(line));
	while (text.n != 0 && !p->failed) {
		struct slice piece = slice_first(text, p->by_byte ? 1 : text.n);
		size_t n = p->driver->feed(p, piece);
		text = slice_from(text, n);
		/* no more is taken while a reply is owed: time goes on */
		if (n == 0 && !step_clock(p, UINT64_MAX)) {
			play_fail(p, "%s",
				p->closed ? "the session was closed"
					  : "no more is taken from the client");
			return;
		}
	}
}

static bool
client_line(struct play *p, struct slice *line_out)
{
	for (;;) {
		struct slice out = buf_slice(&p->out);
		size_t end = slice_find_slice(out, SLICE("\r\n"));
		if (end < out.n) {
			*line_out = arena_slice(p->arena, slice_first(out, end));
			buf_consume(&p->out, end + 2);
			return true;
		}
		if (p->failed || !step_clock(p, UINT64_MAX))
			return false;
	}
}

static void
client_hears(struct play *p, struct slice want)
{
	struct slice got;
	if (!client_line(p, &got))
		play_fail(p, "no reply comes");
	else if (!like(want, got))
		play_fail(p, "the reply is\n    %.*s", SLICE_ARG(got));
	else if (!p->lines[p->at].alone)
		record_reply(&p->record, p->at, got);
}

static void
expect_close(struct play *p)
{
	while (!p->closed && step_clock(p, UINT64_MAX))
		continue;
	if (!p->closed)
		play_fail(p, "the session is not closed");
}

/* --- the clock */

static void
wait_ms(struct play *p, uint64_t ms)
{
	uint64_t until = p->world.now_ms + ms;
	while (!p->failed && step_clock(p, until))
		continue;
	p->world.now_ms = until;
}

static void
at_time(struct play *p, struct slice words, bool check)
{
	uint64_t ms;
	if (!slice_u64(words, &ms))
		play_fail(p, "a number of milliseconds is needed");
	else if (!check)
		wait_ms(p, ms);
	else if (ms != p->world.now_ms)
		play_fail(p, "it is %llu ms", (unsigned long long)p->world.now_ms);
}

/* --- what stands behind Postern and around it */

static void
add_reply(struct play *p, struct slice words)
{
	struct hop_reply r = {0};
	struct slice one;
	if (slice_eq(words, SLICE("down")) || slice_eq(words, SLICE("up"))) {
		p->hop.down = words.p[0] == 'd';
		return;
	}
	if (slice_starts(words, SLICE("after "))) {
		slice_cut(slice_from(words, 6), ' ', &one, &words);
		if (!slice_u64(one, &r.after_ms))
			play_fail(p, "after how many milliseconds?");
	}
	slice_cut(words, ' ', &r.verb, &r.text);
	if (r.text.n == 0 || p->hop.n_replies == HOP_REPLIES_MOST)
		play_fail(p, "no reply for the next hop, or too many");
	else
		p->hop.replies[p->hop.n_replies++] = r;
}

/* Bytes of bodies that another session process holds. */
static void
hold(struct play *p, struct slice words)
{
	uint64_t bytes;
	if (!slice_u64(words, &bytes))
		play_fail(p, "a number of bytes is needed");
	account_clear(p->config.account, 1);
	account_bytes(p->config.account, 1, (int64_t)bytes);
}

/* The next line that is no comment, and not for the other driver alone. */
static size_t
next_line(const struct play *p)
{
	size_t at = p->at + 1;
	while (at < p->n_lines &&
		(p->lines[at].passed_over || slice_starts(p->lines[at].text, SLICE("#"))))
		at++;
	return at;
}

static void
expect_line(struct play *p, struct slice want, size_t *i)
{
	bool keep = !p->lines[p->at].alone, rest = slice_eq(want, SLICE("**"));
	do {
		if (*i >= p->hop.n_got) {
			if (!rest)
				play_fail(p, "the next hop got no more");
			return;
		}
		struct slice got = p->hop.got[(*i)++];
		record_hop(&p->record, p->at, got, keep);
		if (!rest && !like(want, got))
			play_fail(p, "the next hop got\n    %.*s", SLICE_ARG(got));
	} while (rest);
}

/*
 * `got`, then lines `| pattern`: all that came to the next hop since the last `got`; `| **`
 * stands for the rest.
 */
static void
expect_got(struct play *p)
{
	size_t i = 0, at;
	while ((at = next_line(p)) < p->n_lines && !p->failed &&
		slice_starts(p->lines[at].text, SLICE("|"))) {
		p->at = at;
		struct slice want = slice_from(p->lines[at].text, 1);
		expect_line(p, slice_starts(want, SLICE(" ")) ? slice_from(want, 1) : want, &i);
	}
	if (!p->failed && i < p->hop.n_got)
		play_fail(p, "the next hop got more:\n    %.*s", SLICE_ARG(p->hop.got[i]));
	p->hop.n_got = 0;
}

/* Lines that came to the keeper, in order; `...` stands for any number of them. */
static void
expect_took(struct play *p)
{
	struct keeper *k = &p->keeper;
	size_t i = 0, at;
	bool skips = false;
	while ((at = next_line(p)) < p->n_lines && !p->failed &&
		slice_starts(p->lines[at].text, SLICE("| "))) {
		struct slice want = slice_from(p->lines[at].text, 2);
		p->at = at;
		if (slice_eq(want, SLICE("..."))) {
			skips = true;
			continue;
		}
		size_t from = i;
		while (skips && i < k->n_took && !like(want, k->took[i]))
			i++;
		if (i == k->n_took && from < k->n_took)
			play_fail(p, "no such line from here on:\n    %.*s",
				SLICE_ARG(k->took[from]));
		else if (i == k->n_took)
			play_fail(p, "the keeper was told no more");
		else if (!like(want, k->took[i]))
			play_fail(p, "the keeper was told\n    %.*s", SLICE_ARG(k->took[i]));
		i++;
		skips = false;
	}
	if (!p->failed && !skips && i < k->n_took)
		play_fail(p, "the keeper was told more:\n    %.*s", SLICE_ARG(k->took[i]));
	k->n_took = k->n_mails = 0;
}

/* `told`, then lines `| give KEY`, `| pass KEY`: all that the state was told, in order. */
static void
expect_told(struct play *p)
{
	struct world *w = &p->world;
	size_t i = 0, at;
	while ((at = next_line(p)) < p->n_lines && !p->failed &&
		slice_starts(p->lines[at].text, SLICE("| "))) {
		p->at = at;
		if (i == w->n_told)
			play_fail(p, "the state was told no more");
		else if (!like(slice_from(p->lines[at].text, 2), w->told[i]))
			play_fail(p, "the state was told\n    %.*s", SLICE_ARG(w->told[i]));
		i++;
	}
	if (!p->failed && i < w->n_told)
		play_fail(p, "the state was told more:\n    %.*s", SLICE_ARG(w->told[i]));
	w->n_told = 0;
}

static bool
is_signed(struct play *p, struct slice text, struct slice domain)
{
	struct arena *a = p->arena;
	struct message m;
	message_parse(text, p->conf->hostname, true, a, &m);
	struct dkim_verify *v =
		dkim_verify_begin(m.fields, m.n_fields, true, play_wall_ms(p) / 1000, a);
	dkim_verify_body(v, slice_from(text, m.header_bytes));
	dkim_verify_body_end(v);
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		if (slice_eq(s->domain, domain) && s->key_name.n != 0) {
			struct dns_rr rr = {.text = dkim_key_record(p->keys[0], a)};
			dkim_verify_key(v, i, &(struct dns_answer){DNS_OK, .rr = &rr, .n = 1});
		}
		if (slice_eq(s->domain, domain) && s->result == DKIM_PASS)
			return true;
	}
	return false;
}

static struct slice
mail_at_hop(struct play *p)
{
	struct slice text = SLICE_NONE;
	size_t at = 0;
	while (at < p->hop.n_got && (slice_starts(p->hop.got[at], SLICE("MAIL FROM:")) ||
					    slice_starts(p->hop.got[at], SLICE("RCPT TO:"))))
		at++;
	for (; at < p->hop.n_got; at++)
		text = arena_printf(
			p->arena, "%.*s%.*s\r\n", SLICE_ARG(text), SLICE_ARG(p->hop.got[at]));
	return text;
}

/*
 * The mail at the next hop, or each one at the keeper, has a signature of this domain by the
 * play's key, and it is good.
 */
static void
expect_signed(struct play *p, struct slice domain)
{
	bool all = p->keeper.n_mails != 0 || is_signed(p, mail_at_hop(p), domain);
	for (size_t i = 0; i < p->keeper.n_mails; i++)
		all = all && is_signed(p, p->keeper.mails[i], domain);
	if (!all)
		play_fail(p, "no good signature of this domain is in it");
}

/* --- the log */

static struct slice
events_from(struct play *p, size_t offset)
{
	char *text = arena_alloc(p->arena, EVENTS_MOST);
	ssize_t n = pread(p->events_fd, text, EVENTS_MOST - 1, (off_t)offset);
	return (struct slice){text, n > 0 ? (size_t)n : 0};
}

static bool
has_words(struct play *p, struct slice line, struct slice words)
{
	struct slice padded = arena_printf(p->arena, " %.*s ", SLICE_ARG(line)), word;
	while (words.n != 0) {
		slice_cut(words, ' ', &word, &words);
		if (!like(arena_printf(p->arena, "* %.*s *", SLICE_ARG(word)), padded))
			return false;
	}
	return true;
}

/* The next event line that has all these words, in any order. */
static void
expect_event(struct play *p, struct slice words)
{
	struct slice all = events_from(p, p->events_read), line, rest = all;
	while (rest.n != 0) {
		slice_cut(rest, '\n', &line, &rest);
		if (has_words(p, line, words)) {
			p->events_read += all.n - rest.n;
			return;
		}
	}
	play_fail(p, "no such event; there are\n%.*s", SLICE_ARG(all));
}

/* What this line of the script has put into the log. */
static void
record_events(struct play *p)
{
	off_t end = lseek(p->events_fd, 0, SEEK_END);
	if (end < 0 || (size_t)end == p->events_recorded)
		return;
	struct slice all = events_from(p, p->events_recorded), line;
	p->events_recorded += all.n;
	while (all.n != 0 && !p->lines[p->at].alone) {
		slice_cut(all, '\n', &line, &all);
		record_event(&p->record, p->at, line);
	}
}

/* --- a line */

static bool
play_client_line(struct play *p, struct slice verb, struct slice words)
{
	bool says = slice_eq(verb, SLICE(">")), hears = slice_eq(verb, SLICE("<"));
	bool closes = slice_eq(verb, SLICE("close")), gone = slice_eq(verb, SLICE("gone"));
	bool waits = slice_eq(verb, SLICE("wait"));
	if (!says && !hears && !closes && !gone && !waits)
		return false;
	if (!p->connected)
		play_fail(p, "no client is connected");
	else if (says)
		client_says(p, words);
	else if (hears)
		client_hears(p, words);
	else if (closes)
		expect_close(p);
	else if (gone)
		script_end_session(p);
	else
		at_time(p, words, false);
	return true;
}

static void
play_line(struct play *p, struct slice verb, struct slice words)
{
	if (slice_eq(verb, SLICE("client")))
		begin_session(p, words);
	else if (slice_eq(verb, SLICE("held")))
		hold(p, words);
	else if (slice_eq(verb, SLICE("password")))
		p->password = words;
	else if (slice_eq(verb, SLICE("signer")))
		p->signer_down = slice_eq(words, SLICE("down"));
	else if (slice_eq(verb, SLICE("hop")))
		add_reply(p, words);
	else if (slice_eq(verb, SLICE("got")))
		expect_got(p);
	else if (slice_eq(verb, SLICE("took")))
		expect_took(p);
	else if (slice_eq(verb, SLICE("told")))
		expect_told(p);
	else if (slice_eq(verb, SLICE("keeper")) || slice_eq(verb, SLICE("remote"))) {
		if (!keeper_add(&p->keeper, verb.p[0] == 'r', words))
			play_fail(p, "this answer is not understood");
	} else if (slice_eq(verb, SLICE("signed")))
		expect_signed(p, words);
	else if (slice_eq(verb, SLICE("event")))
		expect_event(p, words);
	else if (slice_eq(verb, SLICE("at")))
		at_time(p, words, true);
	else if (slice_eq(verb, SLICE("mta"))) {
		if (!mta_habit(&p->habits, words))
			play_fail(p, "no MTA does that");
	} else if (!slice_eq(verb, SLICE("dns")) && !slice_eq(verb, SLICE("known")) &&
		   !slice_eq(verb, SLICE("scan")) && !slice_eq(verb, SLICE("state")) &&
		   !slice_eq(verb, SLICE("append")) && !slice_eq(verb, SLICE("lookup")) &&
		   !slice_eq(verb, SLICE("neighbour")))
		play_fail(p, "what is \"%.*s\"?", SLICE_ARG(verb));
	else if (!world_add(&p->world, verb, words))
		play_fail(p, "this answer is not understood");
}

void
script_play_line(struct play *p)
{
	struct slice verb, words;
	slice_cut(p->lines[p->at].text, ' ', &verb, &words);
	if (p->lines[p->at].passed_over || verb.n == 0 || verb.p[0] == '#')
		return;
	if (!play_client_line(p, verb, words))
		play_line(p, verb, words);
	record_events(p);
}
