/*
 * `postern doctor` from a file of DNS records: what a name server that does not answer makes of
 * each check, how the worst becomes the exit status, and that nothing of a stranger's reaches
 * the terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "io/route.h"
#include "main/json.h"
#include "tooling.h"

static void
check_has(const struct run *r, const char *line)
{
	if (strstr(r->out, line) == NULL)
		fail_msg("not there: %s\nin:\n%s%s", line, r->out, r->err);
}

static void
check_has_not(const struct run *r, const char *words)
{
	if (strstr(r->out, words) != NULL)
		fail_msg("is there: %s\nin:\n%s", words, r->out);
}

static const char conf[] = "hostname \"mx.example.com\"\n"
			   "listen inbound on \"127.0.0.1:25\"\n"
			   "domain \"example.com\" deliver to \"127.0.0.1:26\"\n"
			   "inbound { accept }\n";

static const char well[] = "mx.example.com A 198.51.100.25\n"
			   "mx.example.com AAAA 2001:db8::25\n"
			   "example.com MX 10 mx.example.com\n"
			   "example.com TXT \"v=spf1 mx -all\"\n"
			   "25.100.51.198.in-addr.arpa PTR mx.example.com\n"
			   "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
			   ".ip6.arpa PTR mx.example.com\n"
			   "_dmarc.example.com TXT \"v=DMARC1; p=none\"\n";

#define ADDRESSES "--dns dns.txt --address 198.51.100.25 --address 2001:db8::25"

/* Both families; SPF by its own look-ups. */
static void
test_well(void **state)
{
	(void)state;
	char text[1024];
	snprintf(text, sizeof(text), "%ssend direct\n", conf);
	write_file("test.conf", text);
	write_file("dns.txt", well);
	struct run r = tool_run(tool_doctor, ADDRESSES, "");
	check_has(&r, "ok    ptr 198.51.100.25: mx.example.com, which leads back to it\n");
	check_has(&r, "ok    ptr 2001:db8::25: mx.example.com, which leads back to it\n");
	check_has(&r, "ok    helo mx.example.com: leads to us\n");
	check_has(&r, "ok    mx example.com: 10 mx.example.com: us\n");
	check_has(&r, "ok    spf example.com for 198.51.100.25: pass (mx)\n");
	check_has(&r, "ok    spf example.com for 2001:db8::25: pass (mx)\n");
	check_has(&r, "ok    dmarc _dmarc.example.com: asks for none\n");
	check_has_not(&r, "fail ");
	check_has_not(&r, "keeper");   /* no spool, nobody to ask */
	assert_int_equal(r.status, 1); /* a listener without TLS */
	assert_string_equal(r.err, "");
	tool_run_free(&r);
}

/* Mail leaves by a smarthost, or not at all: nobody sees our addresses. */
static void
test_nothing_sent_direct(void **state)
{
	(void)state;
	write_file("test.conf", conf);
	write_file("dns.txt", well);
	struct run r = tool_run(tool_doctor, ADDRESSES, "");
	check_has_not(&r, " ptr ");
	check_has_not(&r, " spf ");
	check_has(&r, " dmarc ");
	tool_run_free(&r);
}

/* A name server that does not answer is a warning: nothing is known to be wrong. */
static void
test_silent_dns(void **state)
{
	(void)state;
	char text[1024];
	snprintf(text, sizeof(text), "%ssend direct\n", conf);
	write_file("test.conf", text);
	write_file("dns.txt", "mx.example.com FAIL\nexample.com FAIL\n"
			      "25.100.51.198.in-addr.arpa FAIL\n"
			      "_dmarc.example.com FAIL\n_dmarc.com FAIL\n");
	struct run r = tool_run(tool_doctor, "--dns dns.txt --address 198.51.100.25", "");
	check_has(&r, "warn  ptr 198.51.100.25: 25.100.51.198.in-addr.arpa the DNS does not "
		      "answer\n");
	check_has(&r, "warn  helo mx.example.com: the DNS does not answer\n");
	check_has(&r, "warn  mx example.com: the DNS does not answer\n");
	check_has(&r, "warn  spf example.com for 198.51.100.25: temperror");
	check_has(&r, "warn  dmarc _dmarc.example.com: the DNS does not answer\n");
	check_has_not(&r, "fail ");
	assert_int_equal(r.status, 1);
	tool_run_free(&r);
	/* A PTR whose name cannot be looked up is not yet wrong, one that leads away is. */
	write_file("dns.txt", "mx.example.com FAIL\nexample.com MX 10 mx.example.com\n"
			      "25.100.51.198.in-addr.arpa PTR mx.example.com\n");
	r = tool_run(tool_doctor, "--dns dns.txt --address 198.51.100.25", "");
	check_has(&r, "warn  ptr 198.51.100.25: mx.example.com, which does not lead back");
	check_has(&r, "warn  mx example.com: 10 mx.example.com: the DNS does not answer for "
		      "them\n");
	tool_run_free(&r);
}

static void
test_hostile_records(void **state)
{
	(void)state;
	char text[1024];
	snprintf(text, sizeof(text), "%ssend direct\n", conf);
	write_file("test.conf", text);
	write_file("dns.txt", "example.com TXT \"v=spf1 \x1b[2Jx -all\"\n");
	struct run r = tool_run(tool_doctor, "--dns dns.txt --address 198.51.100.25", "");
	assert_null(strchr(r.out, '\x1b'));
	check_has(&r, "fail  spf example.com for 198.51.100.25: permerror");
	assert_int_equal(r.status, 2);
	tool_run_free(&r);
	r = tool_run(tool_doctor, "--json --dns dns.txt --address 198.51.100.25", "");
	assert_null(strchr(r.out, '\x1b'));
	check_has(&r, "{\"state\":\"fail\",\"check\":\"helo\",\"subject\":\"mx.example.com\","
		      "\"found\":\"has neither A nor AAAA\",\"advice\":\"publish");
	check_has(&r, "],\"worst\":\"fail\"}\n");
	tool_run_free(&r);
}

static void
test_called_wrongly(void **state)
{
	(void)state;
	const char *const wrong[] = {"--address", "--address x", "--dns", "x"};
	write_file("test.conf", conf);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run r = tool_run(tool_doctor, wrong[i], "");
		assert_int_equal(r.status, 64);
		assert_non_null(strstr(r.err, "usage: postern doctor"));
		tool_run_free(&r);
	}
	struct run r = tool_run(tool_doctor, "--dns nowhere.txt", "");
	assert_int_equal(r.status, 2);
	assert_non_null(strstr(r.err, "nowhere.txt"));
	tool_run_free(&r);
	write_file("test.conf", "nonsense\n");
	r = tool_run(tool_doctor, "", "");
	assert_int_equal(r.status, 2);
	assert_non_null(strstr(r.err, "test.conf:1"));
	tool_run_free(&r);
}

static void
test_private_addresses(void **state)
{
	(void)state;
	const struct {
		const char *text;
		bool private;
	} cases[] = {{"10.0.0.1", true}, {"172.31.255.255", true}, {"172.32.0.0", false},
		{"192.168.1.1", true}, {"192.169.0.1", false}, {"100.64.0.1", true},
		{"100.128.0.1", false}, {"169.254.1.1", true}, {"127.0.0.1", true},
		{"198.51.100.25", false}, {"fd00::1", true}, {"fe80::1", true}, {"::1", true},
		{"2001:db8::1", false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip ip;
		assert_true(ip_parse(slice_of(cases[i].text), &ip));
		if (route_is_private(&ip) != cases[i].private)
			fail_msg("%s", cases[i].text);
	}
}

/* JSON is valid whatever stands in it. */
static void
test_json(void **state)
{
	(void)state;
	const struct {
		struct slice in;
		const char *out;
	} cases[] = {
		{SLICE("plain"), "\"plain\""},
		{SLICE("a\"b\\c"), "\"a\\\"b\\\\c\""},
		{SLICE("\n\x1b\x7f"), "\"\\u000a\\u001b\\u007f\""},
		{SLICE("b\xc3\xbc"), "\"b\xc3\xbc\""},
		{SLICE("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
		{SLICE("\xc3"), "\"\\ufffd\""},
		{SLICE("\xc0\xaf"), "\"\\ufffd\\ufffd\""},
		{SLICE("\xe0\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\""},
		{SLICE("\xed\xa0\x80x"), "\"\\ufffd\\ufffd\\ufffdx\""},
		{SLICE("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
		{SLICE("\xf5z"), "\"\\ufffdz\""},
	};
	char *text;
	size_t bytes;
	struct json j;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *f = open_memstream(&text, &bytes);
		json_init(&j, f);
		json_text(&j, NULL, cases[i].in);
		fclose(f);
		assert_string_equal(text, cases[i].out);
		free(text);
	}
	FILE *f = open_memstream(&text, &bytes);
	json_init(&j, f);
	json_begin(&j, NULL, '{');
	json_begin(&j, "list", '[');
	json_number(&j, NULL, UINT64_MAX);
	json_bool(&j, NULL, true);
	json_end(&j, ']');
	json_time(&j, "at", UINT64_C(1764399728000));
	json_time(&j, "never", 0);
	json_begin(&j, "none", '{');
	json_end(&j, '}');
	json_end(&j, '}');
	json_line(&j);
	fclose(f);
	assert_string_equal(text,
		"{\"list\":[18446744073709551615,true],"
		"\"at\":\"2025-11-29T07:02:08Z\",\"never\":null,\"none\":{}}\n");
	free(text);
}

/* Each server by itself, though a session would ask the next one. */
static void
test_scanners_beside_us(void **state)
{
	(void)state;
	char text[1024];
	snprintf(text, sizeof(text),
		"%sfilter rspamd { server \"127.0.0.1:1\" then \"unix:/nowhere/r.sock\" }\n"
		"filter spamassassin { server \"127.0.0.1:1\" on failure skip }\n",
		conf);
	write_file("test.conf", text);
	write_file("dns.txt", well);
	struct run r = tool_run(tool_doctor, ADDRESSES, "");
	check_has(&r,
		"fail  rspamd 127.0.0.1:1: 127.0.0.1:1: connect to 127.0.0.1:1: Connection "
		"refused\n      -> see that it runs and listens there");
	check_has(&r, "fail  rspamd unix:/nowhere/r.sock: unix:/nowhere/r.sock: connect to "
		      "/nowhere/r.sock: No such file or directory\n");
	check_has(&r, "fail  spamassassin 127.0.0.1:1: ");
	check_has(&r, "as \"on failure\" of filter spamassassin says\n");
	assert_int_equal(r.status, 2);
	assert_string_equal(r.err, "");
	tool_run_free(&r);
}

int
main(void)
{
	char folder[] = "/tmp/main-doctor-XXXXXX";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_well),
		cmocka_unit_test(test_nothing_sent_direct),
		cmocka_unit_test(test_silent_dns),
		cmocka_unit_test(test_hostile_records),
		cmocka_unit_test(test_scanners_beside_us),
		cmocka_unit_test(test_called_wrongly),
		cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_json),
	};
	if (mkdtemp(folder) == NULL || chdir(folder) != 0)
		return 1;
	int status = cmocka_run_group_tests(tests, NULL, NULL);
	unlink("test.conf");
	unlink("dns.txt");
	if (chdir("/") == 0)
		rmdir(folder);
	return status;
}
