/*
 * Plays a scenario: a client's lines against the gate, with the world's answers and a next hop
 * from the script, in memory and on a virtual clock (tests/play/README.md has the language).
 * Each is played twice, line by line and byte by byte. Exit 1 where anything differs from the
 * script.
 */
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/must.h"
#include "hop.h"
#include "session/refusals.h"
#include "world.h"

enum { TEXT_MOST = 1024 * 1024, EVENTS_MOST = 1024 * 1024, LINES_MOST = 20000, KEYS_MOST = 8 };

/* UBSan and ASan speak to the real stderr, not to the file that takes the events. */
__attribute__((weak)) void __sanitizer_set_report_fd(void *fd);

struct play {
	struct arena *arena;
	const char *file;
	struct slice lines[LINES_MOST];
	size_t n_lines, at; /* the line at hand */
	bool by_byte;
	struct conf *conf;
	struct gate_config config;
	struct gate *gate;
	struct dkim_key *keys[KEYS_MOST];
	struct slice password; /* of every account; empty: nobody can check one */
	bool signer_down;
	struct world world;
	struct hop hop;
	uint64_t carried_at; /* when the hop has answered; 0: no mail is under way */
	struct buf out;      /* what the client has not yet compared */
	bool closed;
	int sessions;
	int events_fd;
	size_t events_read;
	bool failed;
};

static const int64_t play_begins_ms = 1800000000000; /* 2027-01-15 08:00 UTC */

__attribute__((format(printf, 2, 3))) static void
fail(struct play *p, const char *fmt, ...)
{
	va_list ap;
	if (p->failed)
		return;
	p->failed = true;
	printf("%s:%zu (%s): ", p->file, p->at + 1, p->by_byte ? "byte by byte" : "by lines");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

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

/* --- the gate and its driver */

static void
take_output(struct play *p)
{
	struct slice out;
	while ((out = gate_output(p->gate)).n != 0) {
		if (buf_add(&p->out, out) < 0)
			fail(p, "the gate wrote too much");
		gate_written(p->gate, out.n);
	}
}

/* PLAIN alone; each account has its own name and the play's one password. */
static void
authenticate(struct play *p)
{
	const struct gate_auth_step *step = gate_auth(p->gate);
	struct slice words, as, name, password;
	if (!slice_eq(step->mechanism, SLICE("PLAIN")) && step->first)
		fail(p, "a play knows AUTH PLAIN alone");
	if (p->password.n == 0)
		gate_auth_failed(p->gate);
	else if (step->first && !step->has_data)
		gate_auth_challenge(p->gate, SLICE_NONE);
	else if (!base64_decode(step->data, p->arena, &words))
		gate_auth_done(p->gate, false, SLICE_NONE);
	else {
		slice_cut(words, '\0', &as, &words);
		slice_cut(words, '\0', &name, &password);
		gate_auth_done(p->gate, slice_eq(password, p->password), name);
	}
}

/* The play's own signer answers at once. */
static void
sign(struct play *p)
{
	unsigned char bytes[DKIM_SIGNATURE_BYTES_MOST];
	struct slice signatures[SIGN_MOST];
	size_t n, length;
	struct err err;
	const struct sign_request *requests = gate_signs(p->gate, &n);
	for (size_t i = 0; i < n; i++) {
		must(dkim_key_sign(p->keys[requests[i].key], requests[i].dkim.digest, bytes,
			     &length, &err) == 0);
		signatures[i] =
			arena_slice(p->arena, (struct slice){(const char *)bytes, length});
	}
	gate_signed(p->gate, p->signer_down ? NULL : signatures);
}

/* True: it was answered at once, and there may be another one. */
static bool
serve_wants(struct play *p)
{
	switch (gate_wants(p->gate)) {
	case GATE_WANT_NOTHING: return false;
	case GATE_WANT_TRANSFER:
		p->carried_at = p->world.now_ms + 1 +
				hop_carry(&p->hop, p->conf->hostname, gate_transfer(p->gate));
		return false;
	case GATE_WANT_TLS:
		gate_tls_started(p->gate, SLICE("TLSv1.3"), SLICE("TLS_AES_256_GCM_SHA384"));
		break;
	case GATE_WANT_CLOSE: p->closed = true; return false;
	case GATE_WANT_AUTH: authenticate(p); break;
	case GATE_WANT_SIGN: sign(p); break;
	}
	return true;
}

static void
service(struct play *p)
{
	struct questions *scope;
	struct question *q;
	while ((q = gate_question(p->gate, &scope)) != NULL && p->world.wrong.n == 0)
		world_ask(&p->world, q, scope);
	if (p->world.wrong.n != 0)
		fail(p, "%.*s", SLICE_ARG(p->world.wrong));
	take_output(p);
	while (!p->failed && serve_wants(p))
		take_output(p);
	take_output(p);
}

/* The clock goes on to `until`, or to the next thing that happens before; false: nothing does.
 */
static bool
step_clock(struct play *p, uint64_t until)
{
	uint64_t next = world_next(&p->world);
	if (p->carried_at != 0 && p->carried_at < next)
		next = p->carried_at;
	if (next == UINT64_MAX || next > until)
		return false;
	if (next > p->world.now_ms)
		p->world.now_ms = next;
	gate_clock(p->gate, play_begins_ms + (int64_t)p->world.now_ms);
	if (p->carried_at != 0 && p->carried_at <= p->world.now_ms) {
		p->carried_at = 0;
		gate_transferred(p->gate);
	}
	if (world_deliver(&p->world))
		gate_answered(p->gate);
	service(p);
	return true;
}

static void
end_session(struct play *p)
{
	if (p->gate == NULL)
		return;
	if (buf_slice(&p->out).n != 0)
		fail(p, "the client got more: %.*s", SLICE_ARG(buf_slice(&p->out)));
	if (p->carried_at != 0) {
		p->carried_at = 0;
		gate_gone(p->gate);
		gate_transferred(p->gate);
	}
	gate_free(&p->gate);
	buf_clear(&p->out);
	p->closed = false;
}

static void
begin_session(struct play *p, struct slice ip)
{
	char id[16];
	struct gate_client client = {.port = 40000, .local = p->config.listener->ip};
	end_session(p);
	if (!ip_parse(ip, &client.ip)) {
		fail(p, "no IP address");
		return;
	}
	snprintf(id, sizeof(id), "play%d", ++p->sessions);
	p->gate = gate_new(&p->config, &client, id, play_begins_ms + (int64_t)p->world.now_ms);
	service(p);
}

/* --- lines of the script */

static void
client_says(struct play *p, struct slice line)
{
	struct slice text = arena_printf(p->arena, "%.*s\r\n", SLICE_ARG(line));
	while (text.n != 0 && !p->failed) {
		struct slice piece = slice_first(text, p->by_byte ? 1 : text.n);
		size_t n = gate_feed(p->gate, piece);
		service(p);
		text = slice_from(text, n);
		/* the gate takes no more while it owes a reply: time goes on */
		if (n == 0 && !step_clock(p, UINT64_MAX)) {
			fail(p, p->closed ? "the gate has closed" : "the gate takes no more");
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
		fail(p, "no reply comes");
	else if (!like(want, got))
		fail(p, "the reply is\n    %.*s", SLICE_ARG(got));
}

static void
expect_close(struct play *p)
{
	while (!p->closed && step_clock(p, UINT64_MAX))
		continue;
	if (!p->closed)
		fail(p, "the gate does not close");
}

static void
wait_ms(struct play *p, uint64_t ms)
{
	uint64_t until = p->world.now_ms + ms;
	while (!p->failed && step_clock(p, until))
		continue;
	p->world.now_ms = until;
}

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
			fail(p, "after how many milliseconds?");
	}
	slice_cut(words, ' ', &r.verb, &r.text);
	if (r.text.n == 0 || p->hop.n_replies == HOP_REPLIES_MOST)
		fail(p, "no reply for the next hop, or too many");
	else
		p->hop.replies[p->hop.n_replies++] = r;
}

/* Bytes of bodies that another session process holds. */
static void
hold(struct play *p, struct slice words)
{
	uint64_t bytes;
	if (!slice_u64(words, &bytes))
		fail(p, "a number of bytes is needed");
	account_clear(p->config.account, 1);
	account_bytes(p->config.account, 1, (int64_t)bytes);
}

static bool
next_is_pattern(const struct play *p)
{
	return p->at + 1 < p->n_lines && slice_starts(p->lines[p->at + 1], SLICE("|"));
}

/*
 * `got`, then lines `| pattern`: all that came to the next hop since the last `got`; `| **`
 * stands for the rest.
 */
static void
expect_got(struct play *p)
{
	size_t i = 0;
	for (; next_is_pattern(p) && !p->failed; i++) {
		struct slice want = slice_from(p->lines[++p->at], 1);
		if (slice_starts(want, SLICE(" ")))
			want = slice_from(want, 1);
		if (slice_eq(want, SLICE("**")))
			p->hop.n_got = i;
		else if (i >= p->hop.n_got)
			fail(p, "the next hop got no more");
		else if (!like(want, p->hop.got[i]))
			fail(p, "the next hop got\n    %.*s", SLICE_ARG(p->hop.got[i]));
	}
	if (!p->failed && i < p->hop.n_got)
		fail(p, "the next hop got more:\n    %.*s", SLICE_ARG(p->hop.got[i]));
	p->hop.n_got = 0;
}

/* The next event line that has all these words, in any order. */
static void
expect_event(struct play *p, struct slice words)
{
	char *text = arena_alloc(p->arena, EVENTS_MOST);
	ssize_t n = pread(p->events_fd, text, EVENTS_MOST - 1, (off_t)p->events_read);
	struct slice all = {text, n > 0 ? (size_t)n : 0}, line, rest = all;
	while (rest.n != 0) {
		slice_cut(rest, '\n', &line, &rest);
		struct slice left = words, word;
		bool has = true;
		while (left.n != 0) {
			slice_cut(left, ' ', &word, &left);
			struct slice padded = arena_printf(p->arena, " %.*s ", SLICE_ARG(line));
			word = arena_printf(p->arena, "* %.*s *", SLICE_ARG(word));
			has &= like(word, padded);
		}
		if (has) {
			p->events_read += all.n - rest.n;
			return;
		}
	}
	fail(p, "no such event; there are\n%.*s", SLICE_ARG(all));
}

static void
at_time(struct play *p, struct slice words, bool check)
{
	uint64_t ms;
	if (!slice_u64(words, &ms))
		fail(p, "a number of milliseconds is needed");
	else if (!check)
		wait_ms(p, ms);
	else if (ms != p->world.now_ms)
		fail(p, "it is %llu ms", (unsigned long long)p->world.now_ms);
}

static void
play_line(struct play *p, struct slice line)
{
	struct slice verb, words;
	slice_cut(line, ' ', &verb, &words);
	if (verb.n == 0 || verb.p[0] == '#')
		return;
	bool of_session = slice_eq(verb, SLICE(">")) || slice_eq(verb, SLICE("<")) ||
			  slice_eq(verb, SLICE("close")) || slice_eq(verb, SLICE("gone")) ||
			  slice_eq(verb, SLICE("wait"));
	if (of_session && p->gate == NULL)
		fail(p, "no client is connected");
	else if (slice_eq(verb, SLICE(">")))
		client_says(p, words);
	else if (slice_eq(verb, SLICE("<")))
		client_hears(p, words);
	else if (slice_eq(verb, SLICE("client")))
		begin_session(p, words);
	else if (slice_eq(verb, SLICE("close")))
		expect_close(p);
	else if (slice_eq(verb, SLICE("gone")))
		end_session(p);
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
	else if (slice_eq(verb, SLICE("event")))
		expect_event(p, words);
	else if (slice_eq(verb, SLICE("wait")) || slice_eq(verb, SLICE("at")))
		at_time(p, words, verb.p[0] == 'a');
	else if (!slice_eq(verb, SLICE("dns")) && !slice_eq(verb, SLICE("known")) &&
		 !slice_eq(verb, SLICE("scan")))
		fail(p, "what is \"%.*s\"?", SLICE_ARG(verb));
	else if (!world_add(&p->world, verb, words))
		fail(p, "this answer is not understood");
}

/* --- the whole */

static void
read_script(struct play *p)
{
	struct stat st;
	int fd = open(p->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > TEXT_MOST)
		err(2, "%s", p->file);
	char *text = arena_alloc(p->arena, (size_t)st.st_size + 1);
	if (read(fd, text, (size_t)st.st_size) != st.st_size)
		err(2, "%s", p->file);
	close(fd);
	struct slice rest = {text, (size_t)st.st_size};
	while (rest.n != 0 && p->n_lines < LINES_MOST)
		slice_cut(rest, '\n', &p->lines[p->n_lines++], &rest);
}

/* A line of the configuration: $TESTS is the folder above that of the play. */
static void
write_config_line(const struct play *p, int fd)
{
	struct slice rest = p->lines[p->at], mark = SLICE("$TESTS");
	char path[PATH_MAX];
	if (realpath(p->file, path) == NULL)
		err(2, "%s", p->file);
	struct slice file = slice_of(path);
	struct slice dir = slice_first(file, slice_find_last(file, '/'));
	for (size_t at; (at = slice_find_slice(rest, mark)) < rest.n;
		rest = slice_from(rest, at + mark.n))
		if (dprintf(fd, "%.*s%.*s/..", SLICE_ARG(slice_first(rest, at)),
			    SLICE_ARG(dir)) < 0)
			err(2, "memfd");
	if (dprintf(fd, "%.*s\n", SLICE_ARG(rest)) < 0)
		err(2, "memfd");
}

/* Keys of the play's own, one for each `sign`; the gate knows their algorithm alone. */
static void
make_keys(struct play *p)
{
	struct sign_key *keys = arena_array(p->arena, p->conf->n_signs, sizeof(*keys));
	struct err why;
	must(p->conf->n_signs <= KEYS_MOST);
	for (size_t i = 0; i < p->conf->n_signs; i++) {
		keys[i].algorithm = DKIM_ED25519_SHA256;
		must(dkim_key_generate(DKIM_ED25519_SHA256, 0, &p->keys[i], &why) == 0);
	}
	p->config.keys = keys;
}

/* What all session processes share: one table for each play. */
static void
share(struct play *p)
{
	static struct account *account;
	struct err why;
	if (account == NULL)
		account = account_new(&why);
	p->config.refusals = refusals_new(&why);
	if (account == NULL || p->config.refusals == NULL)
		errx(2, "%s", why.text);
	account_clear(account, 0);
	account_clear(account, 1);
	p->config.account = account;
}

/* The lines between `config` and `end`, through a file, as the parser wants one. */
static void
read_config(struct play *p)
{
	struct conf_report report;
	char name[64];
	int fd = memfd_create("play", MFD_CLOEXEC);
	if (fd < 0)
		err(2, "memfd_create");
	/* lines are numbered as in the script */
	for (; p->at < p->n_lines && !slice_eq(p->lines[p->at], SLICE("config")); p->at++)
		if (dprintf(fd, "\n") < 0)
			err(2, "memfd");
	if (dprintf(fd, "\n") < 0)
		err(2, "memfd");
	for (p->at++; p->at < p->n_lines && !slice_eq(p->lines[p->at], SLICE("end")); p->at++)
		write_config_line(p, fd);
	p->at++;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	conf_report_init(&report);
	p->conf = conf_read(name, &report);
	if (p->conf != NULL && p->conf->n_listeners != 0) {
		p->config = (struct gate_config){
			.conf = p->conf, .listener = &p->conf->listeners[0], .spill_dir = -1};
		p->config.direction =
			p->config.listener->kind == LISTEN_OUTBOUND ? OUTBOUND : INBOUND;
		p->config.policy = policy_compile(
			p->conf, p->config.direction, facts_all(), p->arena, &report);
		share(p);
		make_keys(p);
	}
	if (report.n_errors != 0)
		fail(p, "%.*s", SLICE_ARG(conf_report_text(&report, p->arena)));
	conf_report_fini(&report);
	close(fd);
}

static bool
play_once(const char *file, bool by_byte, int events_fd)
{
	static struct play p;
	p = (struct play){.arena = arena_new(256 << 20),
		.file = file,
		.by_byte = by_byte,
		.events_fd = events_fd};
	p.world.arena = p.hop.arena = p.arena;
	buf_init(&p.out, TEXT_MOST);
	if (ftruncate(events_fd, 0) < 0)
		err(2, "events");
	read_script(&p);
	read_config(&p);
	size_t expected = 0;
	for (; p.at < p.n_lines && !p.failed; p.at++) {
		expected += slice_starts(p.lines[p.at], SLICE("< ")) ||
			    slice_starts(p.lines[p.at], SLICE("got"));
		play_line(&p, p.lines[p.at]);
	}
	if (expected == 0)
		fail(&p, "nothing is expected: the play checks nothing");
	end_session(&p);
	if (p.hop.n_got != 0)
		fail(&p, "the next hop got a mail that no `got` tells of");
	for (size_t i = 0; i < p.hop.n_replies; i++)
		if (!p.hop.replies[i].used)
			fail(&p, "the next hop never said \"%.*s\"",
				SLICE_ARG(p.hop.replies[i].text));
	buf_fini(&p.out);
	for (size_t i = 0; i < KEYS_MOST; i++)
		dkim_key_free(&p.keys[i]);
	conf_free(&p.conf);
	arena_free(&p.arena);
	return !p.failed;
}

int
main(int argc, char **argv)
{
	int events = memfd_create("events", MFD_CLOEXEC), real = dup(STDERR_FILENO), wrong = 0;
	if (argc < 2)
		errx(2, "usage: %s FILE.play ...", argv[0]);
	if (events < 0 || real < 0 || fcntl(events, F_SETFL, O_APPEND) < 0 ||
		dup2(events, STDERR_FILENO) < 0)
		err(2, "events");
	if (__sanitizer_set_report_fd != NULL)
		__sanitizer_set_report_fd((void *)(intptr_t)real);
	log_open(LOG_TO_STDERR, "play");
	for (int i = 1; i < argc; i++)
		for (int by_byte = 0; by_byte < 2; by_byte++)
			wrong += !play_once(argv[i], by_byte != 0, events);
	printf("%d plays, each by lines and byte by byte, %d wrong\n", argc - 1, wrong);
	return wrong != 0;
}
