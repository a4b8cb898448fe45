/* CRC32C: known values, and both ways equal at every length, offset and cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/crc32c.h"
#include "spool.h"

struct known {
	const char *bytes;
	size_t n;
	uint32_t crc;
};

static void
test_known(void **state)
{
	(void)state;
	/* RFC 3720 B.4, and the usual "check" value. */
	static char zeros[32], ones[32], up[32], down[32];
	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < 32; i++) {
		up[i] = (char)i;
		down[i] = (char)(31 - i);
	}
	const struct known rows[] = {
		{"", 0, 0},
		{"123456789", 9, 0xe3069283},
		{zeros, 32, 0x8a9136aa},
		{ones, 32, 0x62a8ab43},
		{up, 32, 0x46dd794e},
		{down, 32, 0x113fdb5c},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(crc32c(0, rows[i].bytes, rows[i].n), rows[i].crc);
		assert_int_equal(crc32c_table(0, rows[i].bytes, rows[i].n), rows[i].crc);
	}
}

static void
test_equal(void **state)
{
	(void)state;
	char bytes[300];
	spool_bytes(bytes, sizeof(bytes), 7);
	for (size_t offset = 0; offset < 9; offset++)
		for (size_t n = 0; n + offset <= sizeof(bytes); n++) {
			uint32_t whole = crc32c_table(0, bytes + offset, n);
			assert_int_equal(crc32c(0, bytes + offset, n), whole);
			size_t cut = n * 3 / 7;
			uint32_t first = crc32c(0, bytes + offset, cut);
			assert_int_equal(crc32c(first, bytes + offset + cut, n - cut), whole);
			assert_int_equal(
				crc32c_table(first, bytes + offset + cut, n - cut), whole);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_equal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
