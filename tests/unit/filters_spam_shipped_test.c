/*
 * The model that is shipped: it is the file of the repository, within its size, and reads; it
 * says something of what it was trained on in kind; files cut, damaged or too long are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "filters/spam_score.h"
#include "filters/spam_shipped.h"

enum { HEAD_BYTES = 24, MOST = 4 * SPAM_ONE };

static struct slice
builtin(void)
{
	return (struct slice){(const char *)spam_model_builtin, spam_model_builtin_bytes};
}

static void
test_is_the_file(void **state)
{
	(void)state;
	char path[4096];
	snprintf(path, sizeof(path), "%s/filters/spam.model", getenv("POSTERN_SOURCE"));
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	char *bytes = mem_new(1 << 20);
	size_t n = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	assert_true(slice_eq((struct slice){bytes, n}, builtin()));
	assert_true(n > 100000 && n < 200000);
	struct err err;
	assert_int_equal(spam_shipped_load(builtin(), &err), 0);
	mem_free(bytes);
}

static int32_t
logit_of(const char *header, const char *body, bool bounce)
{
	struct arena *a = arena_new(8 << 20);
	struct spam_view v;
	struct spam_features f;
	spam_view_of_mail(arena_printf(a, "%s\r\n%s", header, body), SLICE_NONE, a, &v);
	v.bounce |= bounce;
	spam_features_of(&v, a, &f);
	int32_t logit = f.shipped;
	arena_free(&a);
	return logit;
}

static void
test_speaks(void **state)
{
	(void)state;
	static const char
		patch[] = "From: Ann <ann@kernel.example>\r\n"
			  "Subject: Re: [PATCH 2/3] net: check the length first\r\n"
			  "In-Reply-To: <1@x.example>\r\n",
		diff[] = "On Monday, Bob wrote:\r\n"
			 "> I think that the driver should return an error here.\r\n\r\n"
			 "Right, I will fix that in the next version of the patch, and\r\n"
			 "run the test with the other compiler. Thanks for looking at\r\n"
			 "it.\r\n",
		offer[] = "From: winner9981@free.example\r\n"
			  "Subject: FREE money!!! Click here now\r\n"
			  "Content-Type: text/html\r\n",
		pitch[] = "<html><body><font size=5 color=red>Congratulations! You\r\n"
			  "have been selected to receive a FREE offer. Earn money from\r\n"
			  "home, no risk, guaranteed! Click here to order now. To be\r\n"
			  "removed from our mailing list click here.</font>\r\n";
	int32_t ham = logit_of(patch, diff, false), spam = logit_of(offer, pitch, false);
	assert_true(ham < -SPAM_ONE / 2 && ham >= -MOST);
	assert_true(spam > SPAM_ONE / 2 && spam <= MOST);
	assert_int_equal(logit_of(offer, pitch, true), 0);
}

static void
check_made(char *bytes, size_t n)
{
	uint32_t crc = crc32c(0, bytes, n - 4);
	for (int i = 0; i < 4; i++)
		bytes[n - 4 + (size_t)i] = (char)(crc >> 8 * i);
}

static void
refused(const char *bytes, size_t n)
{
	struct err err = {0};
	assert_true(spam_shipped_load((struct slice){bytes, n}, &err) < 0);
	assert_true(err.text[0] != 0);
}

static void
test_refused(void **state)
{
	(void)state;
	size_t n = builtin().n;
	char *bytes = mem_new(n + 8);
	memcpy(bytes, builtin().p, n);
	for (size_t cut = 0; cut < n; cut += cut < 40 || cut + 5000 > n ? 1 : 4999)
		refused(bytes, cut);
	for (size_t at = 0; at < n; at += at < 40 || at + 40 > n ? 1 : 997) {
		bytes[at] ^= 4;
		refused(bytes, n);
		bytes[at] ^= 4;
	}
	/* With a check that fits: a byte too many, one too few, another version. */
	check_made(bytes, n + 1);
	refused(bytes, n + 1);
	memcpy(bytes, builtin().p, n);
	check_made(bytes, n - 1);
	refused(bytes, n - 1);
	for (size_t at = 8; at < 20; at += 4) {
		memcpy(bytes, builtin().p, n);
		bytes[at]++;
		check_made(bytes, n);
		refused(bytes, n);
	}
	mem_free(bytes);
}

/* All weights 0 but some at the ends and in the long form: what comes out is within bounds. */
static void
test_weights(void **state)
{
	(void)state;
	static const struct {
		uint32_t place;
		int8_t weight;
	} rows[] = {{0, 7}, {1, -7}, {2, 8}, {3, -8}, {1000, 127}, {SPAM_WEIGHTS - 1, -128}};
	size_t n = HEAD_BYTES + SPAM_WEIGHTS / 2 + 4 + 4;
	char *bytes = mem_new(n);
	memcpy(bytes, builtin().p, HEAD_BYTES);
	memcpy(bytes + 20, "\0\0\1", 4); /* a sixteenth */
	size_t at = HEAD_BYTES * 2, row = 0;
	for (uint32_t p = 0; p < SPAM_WEIGHTS; p++) {
		unsigned halves[3] = {7}, used = 1;
		if (row < 6 && rows[row].place == p) {
			int w = rows[row++].weight;
			bool small = w >= -7 && w <= 7;
			halves[0] = small ? (unsigned)(w + 7) : 15;
			halves[1] = (unsigned)w & 15;
			halves[2] = (unsigned)w >> 4 & 15;
			used = small ? 1 : 3;
		}
		for (unsigned i = 0; i < used; i++, at++)
			bytes[at / 2] =
				(char)((unsigned char)bytes[at / 2] | halves[i] << at % 2 * 4);
	}
	assert_int_equal(at, (n - 4) * 2);
	check_made(bytes, n);
	struct err err;
	assert_int_equal(spam_shipped_load((struct slice){bytes, n}, &err), 0);
	for (size_t i = 0; i < 6; i++) {
		struct spam_features f = {.text = &rows[i].place, .n_text = 1};
		/* No mail counts as shorter than 64 features: an eighth. */
		assert_int_equal(spam_shipped(&f), rows[i].weight * SPAM_ONE / 16 / 8);
	}
	memcpy(bytes + 20, "\0\0\0\x7f", 4);
	check_made(bytes, n);
	assert_int_equal(spam_shipped_load((struct slice){bytes, n}, &err), 0);
	struct spam_features f = {.text = &rows[4].place, .n_text = 1};
	assert_int_equal(spam_shipped(&f), MOST);
	f.text = &rows[5].place;
	assert_int_equal(spam_shipped(&f), -MOST);
	assert_int_equal(spam_shipped_load(builtin(), &err), 0);
	mem_free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_the_file),
		cmocka_unit_test(test_speaks),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_weights),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
