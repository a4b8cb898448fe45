/*
 * Makes the mails that bench_load sends. Up to 8 KB a mail is one text part, above it has an
 * attachment in base64, as mails in life have. The text is a fixed sequence of words from a
 * small generator with the mail's number as seed: a round's mails are the same for
 * every system.
 */
#include "bench_mail.h"

#include <err.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "filters/dkim.h"

enum { TEXT_MOST = 8192, KEY_BYTES_MOST = 8192 };

/* What the signature in bench.py looks for. */
static const char virus_text[] = "POSTERN-BENCHMARK-VIRUS-TEST-STRING";

struct bench_hash {
	EVP_MD_CTX *context;
};

struct bench_hash *
bench_hash_new(void)
{
	struct bench_hash *h = MEM_NEW(struct bench_hash);
	h->context = EVP_MD_CTX_new();
	if (h->context == NULL || EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1)
		errx(1, "SHA-256");
	return h;
}

void
bench_hash_free(struct bench_hash *h)
{
	EVP_MD_CTX_free(h->context);
	mem_free(h);
}

void
bench_hash_add(struct bench_hash *h, struct slice piece)
{
	if (EVP_DigestUpdate(h->context, piece.p, piece.n) != 1)
		errx(1, "SHA-256");
}

void
bench_hash_end(struct bench_hash *h, char hex_out[BENCH_HASH_BYTES])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	if (EVP_DigestFinal_ex(h->context, digest, NULL) != 1 ||
		EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1)
		errx(1, "SHA-256");
	for (size_t i = 0; i < 32; i++)
		snprintf(hex_out + 2 * i, 3, "%02x", digest[i]);
}

/* xorshift64: a sequence that is the same everywhere. */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Lines of words, about `bytes` of them; some lines begin with a dot. */
static void
add_text(char *out, size_t *n, size_t bytes, uint64_t *state)
{
	static const char *const words[] = {"about", "bridge", "colour", "delivery", "evening",
		"forward", "garden", "house", "invoice", "journey", "kitchen", "letter",
		"morning", "number", "order", "please", "question", "river", "schedule",
		"thanks", "until", "volume", "winter", "yesterday", "mail", "a", "to", "of",
		"in", "we", "you", "."};
	size_t end = *n + bytes, line = 0;
	while (*n + 16 < end) {
		const char *word = words[next_random(state) % 32];
		size_t length = strlen(word);
		memcpy(out + *n, word, length);
		*n += length;
		line += length + 1;
		if (line > 64) {
			memcpy(out + *n, "\r\n", 2);
			*n += 2;
			line = 0;
		} else {
			out[(*n)++] = ' ';
		}
	}
	memcpy(out + *n, "\r\n", 2);
	*n += 2;
}

static void
add_base64(char *out, size_t *n, size_t bytes, uint64_t *state)
{
	unsigned char raw[57];
	for (size_t end = *n + bytes; *n + 80 < end;) {
		for (size_t i = 0; i < sizeof(raw); i++)
			raw[i] = (unsigned char)next_random(state);
		*n += (size_t)EVP_EncodeBlock((unsigned char *)out + *n, raw, sizeof(raw));
		memcpy(out + *n, "\r\n", 2);
		*n += 2;
	}
}

static struct slice
make_body(const struct bench_plan *plan, size_t header_bytes, uint64_t seed, bool virus)
{
	static const char first[] = "--part\r\nContent-Type: text/plain\r\n\r\n",
			  second[] =
				  "--part\r\nContent-Type: application/octet-stream\r\n"
				  "Content-Disposition: attachment; filename=\"data.bin\"\r\n"
				  "Content-Transfer-Encoding: base64\r\n\r\n";
	uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15u;
	size_t n = 0,
	       room = plan->bytes > header_bytes + 512 ? plan->bytes - header_bytes : 512;
	char *out = mem_new(room + 1024);
	bool parts = plan->bytes > TEXT_MOST;
	if (parts)
		n += (size_t)snprintf(out, room, "%s", first);
	if (virus)
		n += (size_t)snprintf(out + n, room, "%s\r\n", virus_text);
	add_text(out, &n, (parts ? TEXT_MOST / 4 : room) - n, &state);
	if (parts) {
		n += (size_t)snprintf(out + n, sizeof(second), "%s", second);
		add_base64(out, &n, room - n, &state);
		n += (size_t)snprintf(out + n, 16, "--part--\r\n");
	}
	return (struct slice){out, n};
}

static struct slice
sign(const struct dkim_key *key, struct slice domain, struct slice header, struct slice body,
	struct arena *a)
{
	struct message m;
	struct err error;
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t n;
	struct dkim_sign_request r = {
		.domain = domain, .selector = SLICE("s"), .algorithm = dkim_key_algorithm(key)};
	message_parse(header, SLICE("none.example"), false, a, &m);
	struct dkim_sign *s = dkim_sign_begin(a);
	dkim_sign_body(s, body);
	dkim_sign_body_end(s);
	dkim_sign_digest(s, m.fields, m.n_fields, 1700000000, &r);
	if (dkim_key_sign(key, r.digest, signature, &n, &error) < 0)
		errx(1, "%s", error.text);
	return dkim_sign_field(&r, (struct slice){(char *)signature, n}, a);
}

static void
add_stuffed(char *out, size_t *n, struct slice text, bool *line_start)
{
	for (size_t i = 0; i < text.n; i++) {
		if (*line_start && text.p[i] == '.')
			out[(*n)++] = '.';
		out[(*n)++] = text.p[i];
		*line_start = text.p[i] == '\n';
	}
}

static void
make_mail(const struct bench_plan *plan, const struct dkim_key *key, size_t i,
	struct bench_hash *h, struct arena *a, struct bench_mail *out)
{
	out->sender = (unsigned)(i / plan->per_connection % plan->senders);
	out->virus = plan->virus_every != 0 && i % plan->virus_every == plan->virus_every / 2;
	struct slice domain = arena_printf(a, "s%u.senders.example", out->sender);
	const char *type = plan->bytes > TEXT_MOST ? "multipart/mixed; boundary=part"
						   : "text/plain; charset=us-ascii";
	struct slice header = arena_printf(a,
		"From: Alice <alice@%.*s>\r\nTo: Bob <bob@example.com>\r\n"
		"Subject: Delivery of the order number %zu\r\n"
		"Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <%zu.bench@%.*s>\r\n"
		"MIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n",
		SLICE_ARG(domain), i, i, SLICE_ARG(domain), type);
	struct slice body = make_body(plan, header.n, plan->seed * plan->mails + i, out->virus),
		     signature = SLICE_NONE;
	if (key != NULL)
		signature = sign(key, domain, header, body, a);
	const struct slice piece[] = {signature, header, body, SLICE(".\r\n")};
	char *wire = mem_new(2 * (signature.n + header.n + body.n) + 3);
	bool line_start = true;
	size_t n = 0;
	for (size_t k = 0; k < 3; k++) {
		bench_hash_add(h, piece[k]);
		add_stuffed(wire, &n, piece[k], &line_start);
	}
	memcpy(wire + n, piece[3].p, piece[3].n);
	out->wire = (struct slice){wire, n + piece[3].n};
	bench_hash_end(h, out->hash);
	mem_free((void *)(uintptr_t)body.p);
}

static struct dkim_key *
load_key(const char *path)
{
	char pem[KEY_BYTES_MOST];
	struct err error;
	struct dkim_key *key;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, pem, sizeof(pem));
	if (n <= 0)
		err(1, "%s", path);
	close(fd);
	if (dkim_key_load((struct slice){pem, (size_t)n}, &key, &error) < 0)
		errx(1, "%s: %s", path, error.text);
	return key;
}

struct bench_mail *
bench_mail_all(const struct bench_plan *plan)
{
	struct bench_mail *all = mem_array(plan->mails, sizeof(*all));
	struct dkim_key *key = plan->key_path != NULL ? load_key(plan->key_path) : NULL;
	struct bench_hash *h = bench_hash_new();
	struct arena *a = arena_new(1 << 20);
	for (size_t i = 0; i < plan->mails; i++) {
		make_mail(plan, key, i, h, a, &all[i]);
		arena_reset(a);
	}
	arena_free(&a);
	bench_hash_free(h);
	if (key != NULL)
		dkim_key_free(&key);
	return all;
}
