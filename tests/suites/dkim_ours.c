/* Our DKIM behind lines of text; see dkim_lines.h. Argument: the time in seconds. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dkim_lines.h"
#include "filters/dkim.h"

static struct slice
parse(const struct lines *l, struct arena *a, struct message *m)
{
	struct slice mail = {l->bytes, l->bytes_n};
	size_t header = message_header_end(mail, 0);
	if (header == 0)
		header = mail.n;
	message_parse(slice_first(mail, header), SLICE("mx.example.com"), false, a, m);
	return slice_from(mail, header);
}

/* In two pieces, so that the seam is tried with each mail at another place. */
static void
verify(const struct lines *l, int64_t wall_s, struct arena *a)
{
	struct message m;
	struct slice body = parse(l, a, &m);
	struct dkim_verify *v = dkim_verify_begin(m.fields, m.n_fields, false, wall_s, a);
	size_t half = body.n * (m.header_bytes % 10) / 10;
	dkim_verify_body(v, slice_first(body, half));
	dkim_verify_body(v, slice_from(body, half));
	dkim_verify_body_end(v);
	for (size_t i = 0; i < dkim_verify_count(v); i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		if (s->key_name.n > 0) {
			const char *text = lines_zone(l, s->key_name.p, s->key_name.n);
			struct dns_rr rr = {.text = slice_of(text)};
			struct dns_answer answer = {
				.status = text != NULL ? DNS_OK : DNS_NXDOMAIN,
				.n = 1,
				.rr = &rr};
			dkim_verify_key(v, i, &answer);
		}
		printf("%s%s:", i > 0 ? " " : "", dkim_result_text(s->result));
		for (const char *p = s->reason != NULL ? s->reason : ""; *p != '\0'; p++)
			putchar(*p == ' ' ? '_' : *p);
	}
	putchar('\n');
}

static void
sign(const struct lines *l, const struct dkim_key *key, int64_t wall_s, struct arena *a)
{
	struct message m;
	struct err error;
	unsigned char signature[DKIM_SIGNATURE_BYTES_MOST];
	size_t n;
	struct slice body = parse(l, a, &m);
	struct dkim_sign *s = dkim_sign_begin(a);
	dkim_sign_body(s, body);
	dkim_sign_body_end(s);
	struct dkim_sign_request r = {.domain = slice_of(l->word[5]),
		.selector = slice_of(l->word[6]),
		.algorithm = dkim_key_algorithm(key)};
	dkim_sign_digest(s, m.fields, m.n_fields, wall_s, &r);
	if (dkim_key_sign(key, r.digest, signature, &n, &error) < 0)
		errx(1, "%s", error.text);
	struct slice field = dkim_sign_field(&r, (struct slice){(char *)signature, n}, a);
	printf("%zu\n%.*s", field.n, SLICE_ARG(field));
}

int
main(int argc, char **argv)
{
	static struct lines l;
	struct dkim_key *key = NULL;
	struct err error;
	int64_t wall_s = argc > 1 ? strtoll(argv[1], NULL, 10) : 0;
	struct arena *a = arena_new(64 << 20);
	while (lines_next(&l) == 1) {
		if (strcmp(l.word[0], "verify") == 0) {
			verify(&l, wall_s, a);
		} else if (strcmp(l.word[0], "key") == 0) {
			dkim_key_free(&key);
			if (dkim_key_load((struct slice){l.bytes, l.bytes_n}, &key, &error) < 0)
				errx(1, "%s", error.text);
		} else if (strcmp(l.word[0], "sign") == 0 && l.n == 8 && key != NULL) {
			sign(&l, key, wall_s, a);
		} else if (strcmp(l.word[0], "record") == 0 && key != NULL) {
			struct slice record = dkim_key_record(key, a);
			printf("%.*s\n", SLICE_ARG(record));
		} else {
			errx(2, "unknown command %s", l.word[0]);
		}
		fflush(stdout);
		arena_reset(a);
	}
	dkim_key_free(&key);
	arena_free(&a);
	lines_fini(&l);
	return 0;
}
