/*
 * What DKIM costs, CPU time of one core: signing and verifying whole mails with either
 * algorithm, and the canonicalisation of bodies. One line a figure: name TAB value TAB what it
 * is.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "filters/canon.h"
#include "filters/dkim.h"

enum { WALL_S = 1795317600, SMALL = 10 * 1024, LARGE = 1024 * 1024 };

static double
now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Words, lines of 70 and empty ones; every fourth line has something for relaxed to change. */
static struct slice
make_body(size_t bytes)
{
	static const char text[] =
		"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusm\r\n"
		"tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim v\r\n\r\n"
		"quis nostrud  exercitation ullamco laboris nisi ut aliquip ex ea comm \r\n";
	char *body = mem_new(bytes);
	for (size_t i = 0; i < bytes; i++)
		body[i] = text[i % (sizeof(text) - 1)];
	memcpy(body + bytes - 2, "\r\n", 2);
	return (struct slice){body, bytes};
}

static void
sink(void *arg, struct slice bytes)
{
	*(size_t *)arg += bytes.n;
}

static void
bench_canon(struct slice body)
{
	enum { ROUNDS = 100 };
	size_t out = 0;
	double begin = now_us();
	for (int i = 0; i < ROUNDS; i++) {
		struct canon_body c;
		canon_body_init(&c, true, UINT64_MAX, sink, &out);
		for (size_t at = 0; at < body.n; at += 16384)
			canon_body_feed(&c, slice_first(slice_from(body, at), 16384));
		canon_body_end(&c);
	}
	double us = now_us() - begin;
	if (out == 0)
		errx(1, "nothing was canonicalised");
	printf("canon relaxed\t%.0f MB/s\tcanonicalisation of text bodies, without the hash\n",
		(double)body.n * ROUNDS / us);
}

static const char header[] =
	"Received: from a.example by b.example; Sun, 22 Nov 2026 03:00:00 +0000\r\n"
	"From: Joe <joe@example.com>\r\nTo: Ann <ann@example.org>\r\nSubject: the figures\r\n"
	"Date: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";

static struct slice
sign(const struct dkim_key *key, struct slice body, struct arena *a)
{
	struct message m;
	struct err error;
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t n;
	struct dkim_sign_request r = {.domain = SLICE("example.com"),
		.selector = SLICE("s"),
		.algorithm = dkim_key_algorithm(key)};
	message_parse(slice_of(header), SLICE("mx"), false, a, &m);
	struct dkim_sign *s = dkim_sign_begin(a);
	dkim_sign_body(s, body);
	dkim_sign_body_end(s);
	dkim_sign_digest(s, m.fields, m.n_fields, WALL_S, &r);
	if (dkim_key_sign(key, r.digest, signature, &n, &error) < 0)
		errx(1, "%s", error.text);
	return dkim_sign_field(&r, (struct slice){(char *)signature, n}, a);
}

static void
verify(struct slice head, struct slice body, struct slice record, struct arena *a)
{
	struct message m;
	message_parse(head, SLICE("mx"), false, a, &m);
	struct dkim_verify *v = dkim_verify_begin(m.fields, m.n_fields, false, WALL_S, a);
	dkim_verify_body(v, body);
	dkim_verify_body_end(v);
	struct dns_rr rr = {.text = record};
	struct dns_answer answer = {.status = DNS_OK, .n = 1, .rr = &rr};
	dkim_verify_key(v, 0, &answer);
	if (dkim_verify_overall(v) != DKIM_PASS)
		errx(1, "a signature of ours does not verify");
}

static void
bench_mail(const char *name, const struct dkim_key *key, struct slice body, int rounds)
{
	struct arena *kept = arena_new(1 << 20), *a = arena_new(1 << 20);
	double begin = now_us();
	for (int i = 0; i < rounds; i++) {
		sign(key, body, a);
		arena_reset(a);
	}
	double signing = (now_us() - begin) / rounds;
	struct slice field = sign(key, body, kept), record = dkim_key_record(key, kept);
	struct slice head = arena_printf(kept, "%.*s%s", SLICE_ARG(field), header);
	begin = now_us();
	for (int i = 0; i < rounds; i++) {
		verify(head, body, record, a);
		arena_reset(a);
	}
	double verifying = (now_us() - begin) / rounds;
	printf("dkim sign %s, %zu KB\t%.0f us\tCPU for one mail: parse, hash, sign, write the "
	       "field\n"
	       "dkim verify %s, %zu KB\t%.0f us\tCPU for one mail: parse, hash, verify, key "
	       "kept\n",
		name, body.n / 1024, signing, name, body.n / 1024, verifying);
	arena_free(&kept);
	arena_free(&a);
}

int
main(void)
{
	static const char *const names[] = {"RSA-2048", "Ed25519"};
	struct slice small = make_body(SMALL), large = make_body(LARGE);
	bench_canon(large);
	for (enum dkim_algorithm algorithm = DKIM_RSA_SHA256; algorithm <= DKIM_ED25519_SHA256;
		algorithm++) {
		struct dkim_key *key;
		struct err error;
		if (dkim_key_generate(algorithm, 0, &key, &error) < 0)
			errx(1, "%s", error.text);
		bench_mail(names[algorithm], key, small, 2000);
		bench_mail(names[algorithm], key, large, 50);
		dkim_key_free(&key);
	}
	mem_free((void *)(uintptr_t)small.p);
	mem_free((void *)(uintptr_t)large.p);
	return 0;
}
