/*
 * The mails of the benchmarks: all different, of a size, from several domains, signed with DKIM
 * where a key is given, every so many with the string that the benchmarks' one virus signature
 * looks for. Made before the clock runs; they live until the process ends.
 */
#ifndef BENCH_MAIL_H
#define BENCH_MAIL_H

#include <stdbool.h>

#include "base/slice.h"

enum { BENCH_HASH_BYTES = 65 }; /* SHA-256 in hexadecimal and a NUL */

struct bench_plan {
	size_t mails, bytes, per_connection;
	unsigned senders;     /* domains s0.senders.example ..., by connection */
	unsigned virus_every; /* 0: none */
	const char *key_path; /* PEM; NULL: unsigned */
	size_t seed;          /* other seeds, other mails */
};

struct bench_mail {
	struct slice wire; /* dots doubled, with the final dot */
	char hash[BENCH_HASH_BYTES];
	bool virus;
	unsigned sender;
};

struct bench_mail *bench_mail_all(const struct bench_plan *plan);

/* Of bytes given in pieces: what load and sink compare. */
struct bench_hash;
struct bench_hash *bench_hash_new(void);
void bench_hash_free(struct bench_hash *h);
void bench_hash_add(struct bench_hash *h, struct slice piece);
void
bench_hash_end(struct bench_hash *h, char hex_out[BENCH_HASH_BYTES]); /* ready for the next */

#endif
