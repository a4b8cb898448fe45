/* The decoder of DNS answers: what is right, what is cut, what loops, what is large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/dns.h"
#include "feed.h"

#define HEAD(rcode, an, ns) "\x12\x34\x81" rcode "\0\1\0" an "\0" ns "\0\0"
#define QUESTION_A          "\3www\7example\0\0\1\0\1" /* at 12; "example" at 16 */
#define QUESTION_TXT        "\3www\7example\0\0\x10\0\1"
#define OWNER               "\xc0\x0c"
#define TTL                 "\0\0\1\x2c" /* 300 */
#define SOA                                      \
	"\xc0\x10\0\6\0\1\0\0\x0e\x10\0\x16\0\0" \
	"\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x3c"

static const struct row {
	const char *what;
	struct slice packet;
	enum dns_type type;
	enum dns_status status;
	size_t n;
	uint32_t ttl;
	const char *first; /* text, or address */
} rows[] = {
	{"one address",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\1\0\1" TTL
								"\0\4\xc0\0\2\1"),
		DNS_A, DNS_OK, 1, 300, "192.0.2.1"},
	{"case of the owner",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A "\3WwW\7EXAMPLE\0\0\1\0\1" TTL
							  "\0\4\xc0\0\2\1"),
		DNS_A, DNS_OK, 1, 300, "192.0.2.1"},
	{"IPv6",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER
			"\0\x1c\0\1" TTL "\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
		DNS_AAAA, DNS_OK, 1, 300, "2001:db8::1"},
	{"MX and null MX",
		SLICE(HEAD("\x80", "\2", "\0") QUESTION_A OWNER
			"\0\x0f\0\1" TTL "\0\7\0\x0a\2mx\xc0\x10" OWNER "\0\x0f\0\1" TTL
			"\0\3\0\0\0"),
		DNS_MX, DNS_OK, 2, 300, "mx.example"},
	{"strings are joined",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_TXT OWNER "\0\x10\0\1" TTL
								  "\0\6\2ab\0\1c"),
		DNS_TXT, DNS_OK, 1, 300, "abc"},
	{"a CNAME behind its target",
		SLICE(HEAD("\x80", "\2", "\0") QUESTION_A "\1x\xc0\x10\0\1\0\1" TTL
							  "\0\4\xc0\0\2\2" OWNER
							  "\0\5\0\1\0\0\0\5\0\4\1x\xc0\x10"),
		DNS_A, DNS_OK, 1, 5, "192.0.2.2"},
	{"odd octets in a name",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\x0c\0\1" TTL "\0\7\5"
								"a.\\\0b\0"),
		DNS_PTR, DNS_OK, 1, 300, "a\\046\\092\\000b"},
	{"TLSA of any length",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\x34\0\1" TTL "\0\2\3\1"),
		DNS_TLSA, DNS_OK, 1, 300, "\3\1"},
	{"no such name", SLICE(HEAD("\x83", "\0", "\1") QUESTION_A SOA), DNS_A, DNS_NXDOMAIN, 0,
		60, NULL},
	{"no such type", SLICE(HEAD("\x80", "\0", "\1") QUESTION_A SOA), DNS_A, DNS_NODATA, 0,
		60, NULL},
	{"no such type, no SOA", SLICE(HEAD("\x80", "\0", "\0") QUESTION_A), DNS_A, DNS_NODATA,
		0, 0, NULL},
	{"CNAME to nothing",
		SLICE(HEAD("\x83", "\1", "\0") QUESTION_A OWNER "\0\5\0\1" TTL
								"\0\4\1x\xc0\x10"),
		DNS_A, DNS_NXDOMAIN, 0, 0, NULL},
	{"another owner",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A "\xc0\x10\0\1\0\1" TTL
							  "\0\4\xc0\0\2\1"),
		DNS_A, DNS_NODATA, 0, 0, NULL},
	{"another class",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\1\0\3" TTL
								"\0\4\xc0\0\2\1"),
		DNS_A, DNS_NODATA, 0, 0, NULL},
	{"SERVFAIL", SLICE(HEAD("\x82", "\0", "\0") QUESTION_A), DNS_A, DNS_FAIL, 0, 0, NULL},
	{"REFUSED", SLICE(HEAD("\x85", "\0", "\0") QUESTION_A), DNS_A, DNS_FAIL, 0, 0, NULL},
	{"a question, not an answer", SLICE("\x12\x34\1\0\0\1\0\0\0\0\0\0" QUESTION_A), DNS_A,
		DNS_FAIL, 0, 0, NULL},
	{"five octets of address",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\1\0\1" TTL
								"\0\5\xc0\0\2\1\1"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"an MX of one octet",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\x0f\0\1" TTL "\0\1\0"),
		DNS_MX, DNS_FAIL, 0, 0, NULL},
	{"an MX without a name",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\x0f\0\1" TTL "\0\2\0\1"),
		DNS_MX, DNS_FAIL, 0, 0, NULL},
	{"a name beyond its record",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\x0f\0\1" TTL
								"\0\3\0\1\2mx\0"),
		DNS_MX, DNS_FAIL, 0, 0, NULL},
	{"a string beyond its record",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_TXT OWNER "\0\x10\0\1" TTL "\0\2\2ab"),
		DNS_TXT, DNS_FAIL, 0, 0, NULL},
	{"a pointer to itself",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A "\xc0\x1d\0\1\0\1" TTL
							  "\0\4\xc0\0\2\1"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"a pointer forwards",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A "\xc0\x1f\0\1\0\1" TTL
							  "\0\4\xc0\0\2\1"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"two pointers in a circle",
		SLICE(HEAD("\x80", "\1", "\0") "\1a\xc0\x10\1b\xc0\x0c\0\1\0\1"), DNS_A,
		DNS_FAIL, 0, 0, NULL},
	{"a label of kind 01",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A "\x41"
							  "a\0\0\1\0\1" TTL "\0\4\xc0\0\2\1"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"more records than there are",
		SLICE(HEAD("\x80", "\2", "\0") QUESTION_A OWNER "\0\1\0\1" TTL
								"\0\4\xc0\0\2\1"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"a CNAME to itself",
		SLICE(HEAD("\x80", "\1", "\0") QUESTION_A OWNER "\0\5\0\1" TTL "\0\2\xc0\x0c"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
	{"two CNAMEs in a circle",
		SLICE(HEAD("\x80", "\2", "\0") QUESTION_A OWNER "\0\5\0\1" TTL "\0\4\1x\xc0\x10"
								"\xc0\x29\0\5\0\1" TTL
								"\0\2\xc0\x0c"),
		DNS_A, DNS_FAIL, 0, 0, NULL},
};

static const char name[] = "www.example";

static void
check_row(const struct row *r)
{
	struct arena *a = arena_new(DNS_ARENA_BYTES);
	struct guarded g = guarded_new(r->packet);
	struct dns_answer answer;
	char text[IP_TEXT_BYTES];
	dns_decode(g.in, slice_of(name), r->type, a, &answer);
	guarded_free(&g);
	if (answer.status != r->status || answer.n != r->n)
		fail_msg("%s: %s, %zu records", r->what, dns_status_text(answer.status),
			answer.n);
	assert_int_equal(answer.ttl, r->ttl);
	assert_false(answer.secure);
	if (r->first != NULL) {
		const struct dns_rr *rr = &answer.rr[0];
		struct slice got = rr->ip.family != 0 ? ip_text(&rr->ip, text) : rr->text;
		assert_true(slice_eq(got, slice_of(r->first)));
	}
	arena_free(&a);
}

static void
answers_are_read_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_row(&rows[i]);
}

/* Cut anywhere before the end of what its header promises, a packet is no answer; never half of
 * one. */
static void
a_packet_cut_short_is_a_failure(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		for (size_t n = 0; n < r->packet.n; n++) {
			struct arena *a = arena_new(DNS_ARENA_BYTES);
			struct guarded g = guarded_new(slice_first(r->packet, n));
			struct dns_answer answer;
			dns_decode(g.in, slice_of(name), r->type, a, &answer);
			guarded_free(&g);
			if (r->n != 0)
				assert_int_equal(answer.status, DNS_FAIL);
			assert_int_equal(answer.n, 0);
			arena_free(&a);
		}
	}
}

static void
put16(char *p, size_t at, unsigned v)
{
	p[at] = (char)(v >> 8 & 0xff);
	p[at + 1] = (char)(v & 0xff);
}

/* 64 KiB: more records than are taken, each with the longest text that a name can have. */
static void
sixty_four_kib_of_answers(void **state)
{
	static char p[65535];
	static const char head[] = HEAD("\x80", "\0", "\0") QUESTION_A;
	size_t n = sizeof(head) - 1, count = 0, target = 0;
	(void)state;
	memcpy(p, head, n);
	while (n + 12 + 2 + 256 < sizeof(p) && count < 1000) {
		memcpy(p + n, OWNER "\0\x0c\0\1" TTL, 10);
		n += 12;
		size_t rdata = n;
		if (target == 0) {
			target = n;
			for (int label = 0; label < 3; label++) {
				p[n] = 63;
				n += 64;
			}
			p[n] = 61;
			n += 62;
			p[n++] = 0;
		} else {
			put16(p, n, (unsigned)(0xc000 | target));
			n += 2;
		}
		put16(p, rdata - 2, (unsigned)(n - rdata));
		count++;
	}
	put16(p, 6, (unsigned)count);
	struct arena *a = arena_new(DNS_ARENA_BYTES);
	struct dns_answer answer;
	dns_decode((struct slice){p, n}, slice_of(name), DNS_PTR, a, &answer);
	assert_int_equal(answer.status, DNS_OK);
	assert_int_equal(answer.n, DNS_RR_MOST);
	assert_int_equal(answer.rr[255].text.n, 4 * 250 + 3);
	arena_free(&a);
	/* More records than any zone has: refused, since each CNAME would be a pass over all.
	 */
	put16(p, 6, 1025);
	a = arena_new(DNS_ARENA_BYTES);
	dns_decode((struct slice){p, sizeof(p)}, slice_of(name), DNS_PTR, a, &answer);
	assert_int_equal(answer.status, DNS_FAIL);
	arena_free(&a);
}

static void
names_that_may_be_asked(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} names[] = {
		{"a", true},
		{"example.com", true},
		{"example.com.", true},
		{"_dmarc.x--y.example", true},
		{"\\000.example", true},
		{"a\\b.example", true},
		{"a\\999.example", true},
		{"", false},
		{".", false},
		{"..", false},
		{".a", false},
		{"a..b", false},
		{"a..", false},
	};
	char longest[256];
	struct dns_wire w;
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (dns_name_ok(slice_of(names[i].name)) != names[i].ok)
			fail_msg("%s", names[i].name);
	memset(longest, 'a', sizeof(longest));
	assert_true(dns_name_ok((struct slice){longest, 63}));
	assert_false(dns_name_ok((struct slice){longest, 64}));
	for (size_t i = 63; i < sizeof(longest); i += 64)
		longest[i] = '.';
	assert_true(dns_name_to_wire((struct slice){longest, 253}, &w));
	assert_int_equal(w.n, 255);
	assert_false(dns_name_ok((struct slice){longest, 254}));
	longest[253] = '.';
	assert_true(dns_name_ok((struct slice){longest, 254}));
	longest[253] = 'a';
	assert_false(dns_name_ok((struct slice){longest, 255}));
}

static void
names_come_back_from_the_wire(void **state)
{
	static const struct {
		const char *in, *out;
	} names[] = {
		{"mail.Example.", "mail.Example"},
		{"a\\046b.c", "a\\046b.c"},
		{"\\097b", "ab"},
		{"a\\b", "a\\092b"},
		{"x\\255", "x\\255"},
		{"x\\256", "x\\092256"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct dns_wire w, again;
		char text[DNS_TEXT_BYTES];
		size_t end;
		assert_true(dns_name_to_wire(slice_of(names[i].in), &w));
		assert_true(slice_eq(dns_wire_text(&w, text), slice_of(names[i].out)));
		struct slice bytes = {(const char *)w.bytes, w.n};
		assert_true(dns_wire_read(bytes, 0, &again, &end));
		assert_int_equal(end, w.n);
		assert_true(dns_wire_eq(&w, &again));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_the_table_says),
		cmocka_unit_test(a_packet_cut_short_is_a_failure),
		cmocka_unit_test(sixty_four_kib_of_answers),
		cmocka_unit_test(names_that_may_be_asked),
		cmocka_unit_test(names_come_back_from_the_wire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
