/*
 * What judging a mail costs the spam filter, CPU time of one core: the header parsed, the view,
 * its features, evidence, the sum, over mails of 4 KB of several shapes, each made by chance
 * from one seed; a mail of 50 MB against one of 100 KB; the memory of a process with models
 * mapped. One line a figure: name TAB value TAB what it is.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "filters/spam_score.h"

enum {
	MAIL_BYTES = 4096,
	OF_EACH = 40,
	ROUNDS = 25,
	WORDS = 4000,
	ARENA_BYTES = 16 * 1024 * 1024,
	SMALL_BYTES = 100 * 1024,
	HUGE_BYTES = 50 * 1024 * 1024,
	MAIL_ROOM = 60 * 1024 * 1024,
};

static uint64_t seed = 20261129;

static uint32_t
chance(uint32_t below)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(seed >> 33) % below;
}

static char words[WORDS][12];

static void
make_words(void)
{
	static const char *const syllables[] = {"an", "ber", "con", "dis", "er", "fo", "ge",
		"in", "ka", "lo", "me", "no", "or", "pre", "re", "sta", "ti", "un", "ver",
		"wi"};
	for (size_t i = 0; i < WORDS; i++)
		for (uint32_t n = 1 + chance(3); n > 0; n--)
			strncat(words[i], syllables[chance(20)],
				sizeof(words[i]) - 1 - strlen(words[i]));
}

/* Words are not all as often, as in language. */
static const char *
word(void)
{
	uint32_t most = 1 + chance(WORDS);
	return words[chance(most)];
}

static void
add_text(struct buf *to, size_t bytes, const char *line_end)
{
	size_t end = buf_slice(to).n + bytes, line = 0;
	while (buf_slice(to).n < end) {
		const char *w = word();
		buf_add_text(to, w);
		line += strlen(w) + 1;
		buf_add_text(to, line > 66 ? line_end : " ");
		line = line > 66 ? 0 : line;
	}
	buf_add_text(to, "\r\n");
}

static void
add_header(struct buf *to, const char *type)
{
	for (uint32_t n = 2 + chance(3); n > 0; n--)
		buf_printf(to,
			"Received: from %s.example (%s.example [192.0.2.%u])\r\n\tby "
			"%s.example "
			"(Postfix) with ESMTPS id %08X\r\n\tfor <%s@example.org>; Sun, 29 Nov "
			"2026 "
			"12:%02u:00 +0000 (UTC)\r\n",
			word(), word(), chance(250), word(), chance(UINT32_MAX), word(),
			chance(60));
	buf_printf(to,
		"Date: Sun, 29 Nov 2026 12:00:%02u +0100\r\nFrom: \"%s %s\" <%s@%s.example>\r\n"
		"To: <%s@example.org>\r\nMessage-ID: <%08x.%u@%s.example>\r\nSubject: %s %s %s "
		"%s\r\n"
		"MIME-Version: 1.0\r\nX-Mailer: %s 1.%u\r\nReply-To: <%s@%s.example>\r\n%s\r\n",
		chance(60), word(), word(), word(), word(), word(), chance(UINT32_MAX),
		chance(10000), word(), word(), word(), word(), word(), word(), chance(9),
		word(), word(), type);
}

static size_t
left_of(const struct buf *to, size_t mail)
{
	size_t n = buf_slice(to).n;
	return n + 200 < mail ? mail - n : 200;
}

/* The shapes; each writes one whole mail of about so many bytes. */
static void
plain(struct buf *to, size_t mail)
{
	add_header(to, "Content-Type: text/plain; charset=utf-8\r\n");
	buf_printf(
		to, "see https://%s.example/%s and www.%s.example\r\n", word(), word(), word());
	add_text(to, left_of(to, mail), "\r\n");
}

static void
add_html(struct buf *to, size_t bytes, const char *equals)
{
	size_t end = buf_slice(to).n + bytes;
	buf_printf(to,
		"<html><head><style>.a { color: #333; background: #fff }</style></head>"
		"<body>\r\n<table width%s\"600\" bgcolor%s\"#ffffff\"><tr>\r\n",
		equals, equals);
	while (buf_slice(to).n < end) {
		buf_printf(to,
			"<td style%s\"font-family: arial; font-size: 1%upx; color: #3%u3\">",
			equals, chance(9), chance(9));
		for (uint32_t n = 5 + chance(20); n > 0; n--)
			buf_printf(to, "%s%s ", word(), chance(12) == 0 ? "&nbsp;&amp;" : "");
		buf_printf(to, "\r\n<a href%s\"https://%s.example/%s?u%s%u\"><b>%s</b></a>",
			equals, word(), word(), equals, chance(100000), word());
		if (chance(3) == 0)
			buf_printf(to,
				"<img src%s\"http://img.%s.example/%s.png\" alt%s\"%s\">",
				equals, word(), word(), equals, word());
		buf_add_text(to, "</td></tr><tr>\r\n");
	}
	buf_add_text(to, "</tr></table></body></html>\r\n");
}

static void
html(struct buf *to, size_t mail)
{
	add_header(to, "Content-Type: text/html; charset=\"utf-8\"\r\n");
	add_html(to, left_of(to, mail), "=");
}

static void
alternative(struct buf *to, size_t mail)
{
	add_header(to, "Content-Type: multipart/alternative; boundary=\"=_b0123456789\"\r\n");
	buf_add_text(to, "--=_b0123456789\r\nContent-Type: text/plain; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	add_text(to, left_of(to, mail) / 2, " =\r\n");
	buf_add_text(to, "--=_b0123456789\r\nContent-Type: text/html; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	add_html(to, left_of(to, mail), "=3D");
	buf_add_text(to, "--=_b0123456789--\r\n");
}

static void
add_base64(struct buf *to, struct slice bytes)
{
	struct arena *a = arena_new(2 * MAIL_ROOM);
	struct slice text = base64_encode(bytes, a);
	for (; text.n > 0; text = slice_from(text, 76))
		buf_printf(to, "%.*s\r\n", SLICE_ARG(slice_first(text, 76)));
	arena_free(&a);
}

static void
base64(struct buf *to, size_t mail)
{
	struct buf inner;
	add_header(to, "Content-Type: text/html; charset=utf-8\r\n"
		       "Content-Transfer-Encoding: base64\r\n");
	buf_init(&inner, MAIL_ROOM);
	add_html(&inner, left_of(to, mail) * 3 / 4, "=");
	add_base64(to, buf_slice(&inner));
	buf_fini(&inner);
}

/* Cyrillic in KOI8-R: every word has its eighth bits. */
static void
cyrillic(struct buf *to, size_t mail)
{
	struct buf inner;
	add_header(to, "Content-Type: text/plain; charset=koi8-r\r\n"
		       "Content-Transfer-Encoding: 8bit\r\n");
	buf_init(&inner, MAIL_ROOM);
	add_text(&inner, left_of(to, mail), "\r\n");
	struct slice s = buf_slice(&inner);
	for (size_t i = 0; i < s.n; i++)
		buf_add_byte(to, ascii_alpha(s.p[i]) ? (char)(s.p[i] | 0x80) : s.p[i]);
	buf_fini(&inner);
}

static void
attachment(struct buf *to, size_t mail)
{
	struct buf inner;
	add_header(to, "Content-Type: multipart/mixed; boundary=\"next\"\r\n");
	buf_add_text(to, "--next\r\n\r\n");
	add_text(to, 600, "\r\n");
	buf_add_text(to, "--next\r\nContent-Type: application/pdf; name=\"a file.pdf\"\r\n"
			 "Content-Transfer-Encoding: base64\r\n"
			 "Content-Disposition: attachment; filename=\"a file.pdf\"\r\n\r\n");
	buf_init(&inner, MAIL_ROOM);
	add_text(&inner, left_of(to, mail) * 3 / 4, "\r\n");
	add_base64(to, buf_slice(&inner));
	buf_add_text(to, "--next--\r\n");
	buf_fini(&inner);
}

static void
patch(struct buf *to, size_t mail)
{
	add_header(to, "List-Id: <l.example>\r\nIn-Reply-To: <1@x.example>\r\n");
	size_t end = buf_slice(to).n + left_of(to, mail);
	while (buf_slice(to).n < end)
		buf_printf(to, "%c\tif (%s_%s(%s, %u) < 0)\r\n", " +-"[chance(3)], word(),
			word(), word(), chance(1000));
}

static const struct {
	const char *name;
	void (*make)(struct buf *to, size_t mail);
} shapes[] = {{"plain", plain}, {"patch", patch}, {"html", html}, {"alternative", alternative},
	{"base64 html", base64}, {"cyrillic", cyrillic}, {"attachment", attachment}};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static struct slice mails[SHAPES][OF_EACH];
static struct spam_shared *shared;

static const struct address sender = {.local = SLICE("someone"),
	.domain = SLICE("client.example"),
	.text = SLICE("someone@client.example")};
static const struct slice own_domains[] = {SLICE("example.org"), SLICE("example.net")};
static const struct spam_world world = {.spf = SLICE("pass"),
	.dkim = SLICE("none"),
	.dmarc = SLICE("fail"),
	.dmarc_policy = SLICE("none"),
	.aligned_known = true,
	.client = {.family = 4, .bytes = {192, 0, 2, 77}},
	.client_name_known = true,
	.client_name = SLICE("mail.client.example"),
	.helo = SLICE("mail.client.example"),
	.sender = &sender,
	.seen_known = true,
	.new_sender = true,
	.own_domains = own_domains,
	.n_own_domains = 2,
	.wall_ms = 1795953600000};

enum stage { PARSE, VIEW, FEATURES, EVIDENCE, JUDGE, STAGES };
static const char *const stage_names[] = {"header", "view", "features", "evidence", "judge"};

static double kept; /* so that no judgement is left out */

/* All up to a stage; the header is parsed by the gateway anyway, and not counted. */
static void
run(struct slice mail, enum stage last, struct arena *a)
{
	struct message m;
	struct spam_view v;
	struct spam_features f;
	struct spam_found *found;
	struct spam_judgement j;
	size_t body = message_header_end(slice_first(mail, MESSAGE_HEADER_MOST), 0);
	message_parse(slice_first(mail, body), SLICE("mx.example"), false, a, &m);
	if (last < VIEW)
		return;
	spam_view_read(&m, slice_from(mail, body), SLICE("mx.example"), a, &v);
	if (last < FEATURES)
		return;
	spam_features_of(&v, a, &f);
	if (last < EVIDENCE)
		return;
	found = ARENA_NEW(a, struct spam_found);
	spam_evidence_gather(&v, &world, a, found);
	if (last < JUDGE)
		return;
	struct spam_input in = {.view = &v, .features = &f, .found = found, .shared = shared};
	spam_judge(&in, &j);
	kept += j.probability;
}

static double
now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* µs a mail, of the mails of some shapes. */
static double
time_stage(size_t first, size_t last_shape, enum stage last)
{
	double best = 1e9;
	for (int r = 0; r < ROUNDS; r++) {
		double begin = now_us();
		for (size_t s = first; s <= last_shape; s++) {
			for (size_t i = 0; i < OF_EACH; i++) {
				struct arena *a = arena_new(ARENA_BYTES);
				run(mails[s][i], last, a);
				arena_free(&a);
			}
		}
		double us = (now_us() - begin) / (double)(OF_EACH * (last_shape - first + 1));
		best = us < best ? us : best;
	}
	return best;
}

static void
tell_stages(const char *name, size_t first, size_t last)
{
	double before = time_stage(first, last, PARSE), begin = before;
	for (enum stage s = VIEW; s < STAGES; s++) {
		double us = time_stage(first, last, s);
		printf("spam %s, %s\t%.1f us\tCPU for one mail of 4 KB, release build\n", name,
			stage_names[s], us - before);
		before = us;
	}
	printf("spam %s\t%.1f us\tall of it, beside the header that is parsed anyway\n"
	       "spam %s, rate\t%.0f mails/s\ta core\n",
		name, before - begin, name, 1e6 / (before - begin));
}

static struct slice
make_mail(size_t shape, size_t bytes)
{
	struct buf b;
	buf_init(&b, MAIL_ROOM);
	shapes[shape].make(&b, bytes);
	char *copy = mem_new(buf_slice(&b).n);
	memcpy(copy, buf_slice(&b).p, buf_slice(&b).n);
	struct slice s = {copy, buf_slice(&b).n};
	buf_fini(&b);
	return s;
}

/* µs of one whole mail, the best of some. */
static double
time_mail(struct slice mail)
{
	enum { TIMES = 40 };
	double best = 1e9;
	for (int i = 0; i < TIMES; i++) {
		double begin = now_us();
		struct arena *a = arena_new(ARENA_BYTES);
		run(mail, JUDGE, a);
		arena_free(&a);
		double us = now_us() - begin;
		best = us < best ? us : best;
	}
	return best;
}

/* A mail of 50 MB against one of 100 KB that begins so, of each shape: the worst. */
static void
tell_huge(void)
{
	double worst = 0, of_small = 0, of_huge = 0;
	const char *name = "";
	char *bytes = mem_new(HUGE_BYTES);
	for (size_t s = 0; s < SHAPES; s++) {
		struct slice mail = make_mail(s, SMALL_BYTES);
		for (size_t n = 0; n < HUGE_BYTES; n += mail.n)
			memcpy(bytes + n, mail.p,
				mail.n < HUGE_BYTES - n ? mail.n : HUGE_BYTES - n);
		double small = time_mail(mail);
		double huge = time_mail((struct slice){bytes, HUGE_BYTES});
		if (huge / small > worst) {
			worst = huge / small;
			of_small = small;
			of_huge = huge;
			name = shapes[s].name;
		}
		mem_free((void *)(uintptr_t)mail.p);
	}
	mem_free(bytes);
	printf("spam 100 KB\t%.0f us\tCPU for one mail, header and all (%s)\n"
	       "spam 50 MB\t%.0f us\tthe same kind of mail: %.2f times as much, the worst of "
	       "the "
	       "shapes\n",
		of_small, name, of_huge, worst);
}

static double
status_mb(const char *key)
{
	char line[256];
	uint64_t kb = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		struct slice value, rest = slice_of(line);
		if (!slice_starts(rest, slice_of(key)))
			continue;
		slice_cut(slice_trim(slice_from(rest, strlen(key))), ' ', &value, &rest);
		if (!slice_u64(value, &kb))
			errx(1, "no number: %s", line);
	}
	if (f != NULL)
		fclose(f);
	return (double)kb / 1024;
}

/* What a process grows by that judges all mails with the site's model mapped. */
static void
tell_memory(void)
{
	fflush(stdout);
	pid_t child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		double before = status_mb("VmRSS:");
		time_stage(0, SHAPES - 1, JUDGE);
		double after = status_mb("VmRSS:");
		printf("spam memory\t%.1f MB\twhat judging adds to a process, the site's model "
		       "(shared by all) with it\n",
			after - before);
		fflush(stdout);
		_exit(before == 0);
	}
	int status;
	if (waitpid(child, &status, 0) != child || status != 0)
		errx(1, "the memory was not measured");
}

static void
make_model(void)
{
	struct spam_weights *w = MEM_NEW(struct spam_weights);
	shared = mmap(NULL, spam_shared_bytes(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	w->ham = w->spam = 1000;
	for (size_t i = 0; i < SPAM_WEIGHTS; i++) {
		w->raw[i] = (int32_t)chance(200000) - 100000;
		w->text[i] = (int32_t)chance(200000) - 100000;
	}
	if (!spam_shared_publish(shared, SLICE_NONE, w))
		errx(1, "the model has no place");
	mem_free(w);
}

int
main(int argc, char **argv)
{
	bool each = argc > 1 && strcmp(argv[1], "--each") == 0;
	make_words();
	make_model();
	for (size_t s = 0; s < SHAPES; s++)
		for (size_t i = 0; i < OF_EACH; i++)
			mails[s][i] = make_mail(s, MAIL_BYTES);
	tell_memory();
	for (size_t s = 0; each && s < SHAPES; s++)
		tell_stages(shapes[s].name, s, s);
	tell_stages("4 KB", 0, SHAPES - 1);
	tell_huge();
	return kept > 0 ? 0 : 1;
}
