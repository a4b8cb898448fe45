/* Base64 (RFC 4648 10): the vectors both ways; what is not the one encoding of its bytes is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "feed.h"

static void
test_vectors(void **state)
{
	(void)state;
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}, {"\xfb\xff", "+/8="}};
	struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded plain = guarded_new(slice_of(rows[i][0]));
		struct guarded coded = guarded_new(slice_of(rows[i][1]));
		struct slice out;
		assert_true(slice_eq(base64_encode(plain.in, a), coded.in));
		assert_true(base64_decode(coded.in, a, &out) && slice_eq(out, plain.in));
		assert_true(base64_decode_fws(coded.in, a, &out) && slice_eq(out, plain.in));
		guarded_free(&plain);
		guarded_free(&coded);
	}
	arena_free(&a);
}

static void
test_all_bytes(void **state)
{
	(void)state;
	char bytes[256];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 167 + 3);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct arena *a = arena_new(1 << 16);
		struct slice out, coded = base64_encode((struct slice){bytes, n}, a);
		assert_int_equal(coded.n, (n + 2) / 3 * 4);
		assert_true(base64_decode(coded, a, &out));
		assert_true(slice_eq(out, (struct slice){bytes, n}));
		arena_free(&a);
	}
}

static void
test_refused(void **state)
{
	(void)state;
	static const struct {
		struct slice in;
		const char *fws; /* what the tolerant decoder gives; NULL: refused too */
	} rows[] = {
#define ROW(in, fws) {{in, sizeof(in) - 1}, fws}
		ROW("Z", NULL),
		ROW("Zg", NULL),
		ROW("Zg=", NULL),
		ROW("Zg===", NULL),
		ROW("Zm8", NULL),
		ROW("Zm8==", NULL),
		ROW("Zm9v=", NULL),
		ROW("Zm9v====", NULL),
		ROW("=", NULL),
		ROW("====", NULL),
		ROW("Zg==Zg==", NULL),
		ROW("Z=g=", NULL),
		ROW("=Zg=", NULL),
		ROW("Zh==", NULL), /* bits left over: not the one encoding of "f" */
		ROW("Zm9=", NULL),
		ROW("Zm9_", NULL),
		ROW("Zm9-", NULL),
		ROW("Zm9\x80", NULL),
		ROW("Zm9v\0", NULL),
		ROW("Zm9v\v", NULL),
		ROW("Zm9v\r\n", "foo"),
		ROW(" Z m\t9\r\n v ", "foo"),
		ROW("Zg= =", "f"),
		ROW("Zg==\r\n\t", "f"),
		ROW(" ", ""),
#undef ROW
	};
	struct arena *a = arena_new(1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct guarded g = guarded_new(rows[i].in);
		struct slice out = SLICE("");
		bool taken = base64_decode_fws(g.in, a, &out);
		if (taken != (rows[i].fws != NULL) ||
			(taken && !slice_eq(out, slice_of(rows[i].fws))))
			fail_msg("row %zu, with white space", i);
		if (base64_decode(g.in, a, &out))
			fail_msg("row %zu", i);
		guarded_free(&g);
	}
	arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
