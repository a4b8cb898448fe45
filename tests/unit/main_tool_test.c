/*
 * The commands of `postern`: what they print, write and return. Keys and users' files are made
 * in a folder of the test's own (OUT-12: keys are never overwritten; EXT-04: no password is
 * kept).
 */
#include <crypt.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/mem.h"
#include "conf/file.h"
#include "conf/passwd.h"
#include "filters/dkim_key.h"
#include "filters/facts.h"
#include "main/answers_file.h"
#include "tooling.h"

enum { TEXT_MOST = 1 << 20 };

static void
test_check(void **state)
{
	(void)state;
	write_config(RIGHT "inbound {\n\treject if sender is \"x@example.com\"\n\taccept\n}\n");
	struct run r = tool_run(tool_check, "", "");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "test.conf:5"));
	assert_non_null(strstr(r.out, "test.conf: right, 0 warnings\n"));
	assert_string_equal(r.err, "");
	tool_run_free(&r);
	r = tool_run(tool_check, "--defaults", "");
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.out, "limits mail size"));
	assert_non_null(strstr(r.out, "no relaying"));
	tool_run_free(&r);
	write_config(RIGHT "inbound {\n\treject if sendr is \"x\"\n\taccept\n}\n");
	r = tool_run(tool_check, "", "");
	assert_int_equal(r.status, 1);
	assert_string_equal(r.err, "test.conf:5:12: error: there is no fact \"sendr\" (did you "
				   "mean \"sender\"?)\n");
	tool_run_free(&r);
	r = tool_run(tool_check, "nowhere.conf", "");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "cannot read nowhere.conf"));
	tool_run_free(&r);
	r = tool_run(tool_check, "--default", "");
	assert_int_equal(r.status, 2);
	tool_run_free(&r);
}

/* The first line says that the rules do not hold. */
static void
test_check_modes(void **state)
{
	(void)state;
	write_config("mode soft\n" RIGHT "inbound {\n\taccept\n}\n");
	struct run r = tool_run(tool_check, "", "");
	assert_int_equal(r.status, 0);
	assert_true(strstr(r.out, "mode soft: ") == r.out);
	tool_run_free(&r);
	write_config(
		"mode soft\n" RIGHT
		"listen inbound on \"127.0.0.1:27\" mode observe\ninbound {\n\taccept\n}\n");
	r = tool_run(tool_check, "", "");
	assert_true(strstr(r.out, "listen on \"127.0.0.1:25\": mode soft: ") == r.out);
	assert_non_null(strstr(r.out, "\nlisten on \"127.0.0.1:27\": mode observe: "));
	tool_run_free(&r);
	write_config(RIGHT "inbound {\n\taccept\n}\n");
	r = tool_run(tool_check, "", "");
	assert_true(strstr(r.out, "inbound:\n") == r.out);
	tool_run_free(&r);
}

/* Every fact is in the table and in the manual, every event in the daemon's page. */
static void
test_facts(void **state)
{
	(void)state;
	struct run facts = tool_run(tool_facts, "", ""), manual = tool_run(tool_manual, "", "");
	const struct fact_decl *const *decls = facts_all();
	assert_int_equal(facts.status, 0);
	assert_int_equal(manual.status, 0);
	size_t n = 0;
	for (; decls[n] != NULL; n++) {
		assert_non_null(strstr(facts.out, decls[n]->text));
		assert_non_null(strstr(manual.out, decls[n]->text));
	}
	assert_true(n > 10);
	tool_run_free(&facts);
	tool_run_free(&manual);
	struct run events = tool_run(tool_manual, "events", "");
	assert_int_equal(events.status, 0);
	for (int ev = 0; ev < LOG_EVENT_COUNT; ev++)
		assert_non_null(strstr(events.out, log_event_text((enum log_event)ev)));
	tool_run_free(&events);
}

/* The strings of the record put together again. */
static struct slice
record_of(const char *line, struct arena *a)
{
	struct slice rest = slice_of(line), piece, out = SLICE("");
	slice_cut(rest, '\n', &rest, &piece);
	while (slice_cut(rest, '"', &piece, &rest)) {
		slice_cut(rest, '"', &piece, &rest);
		assert_true(piece.n <= 255);
		out = arena_printf(a, "%.*s%.*s", SLICE_ARG(out), SLICE_ARG(piece));
	}
	return out;
}

static void
check_keygen(const char *words, const char *path, const char *name, bool ed25519)
{
	struct arena *a = arena_new(TEXT_MOST);
	struct dkim_record record;
	struct dkim_key *key;
	struct slice pem;
	struct stat st;
	struct err err;
	struct run r = tool_run(tool_dkim, words, "");
	assert_int_equal(r.status, 0);
	assert_true(strncmp(r.out, name, strlen(name)) == 0);
	assert_null(dkim_record_parse(record_of(r.out, a), a, &record));
	assert_int_equal(record.ed25519, ed25519);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(file_read(path, TEXT_MOST / 2, a, &pem, &err), 0);
	assert_int_equal(dkim_key_load(pem, &key, &err), 0);
	assert_true(slice_eq(dkim_key_record(key, a), record_of(r.out, a)));
	dkim_key_free(&key);
	tool_run_free(&r);
	r = tool_run(tool_dkim, words, "");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "File exists"));
	assert_string_equal(r.out, "");
	tool_run_free(&r);
	struct slice again;
	assert_int_equal(file_read(path, TEXT_MOST / 2, a, &again, &err), 0);
	assert_true(slice_eq(pem, again));
	unlink(path);
	arena_free(&a);
}

static void
test_keygen(void **state)
{
	(void)state;
	check_keygen("keygen Example.com s1", "example.com.s1.pem",
		"s1._domainkey.example.com. IN TXT ( \"v=DKIM1; k=rsa; p=", false);
	check_keygen("keygen example.com s2 ed25519 my.pem", "my.pem",
		"s2._domainkey.example.com. IN TXT ( \"v=DKIM1; k=ed25519; p=", true);
	static const struct {
		const char *words;
		int status;
	} wrong[] = {
		{"keygen", 2},
		{"keygen example.com", 2},
		{"make example.com s1", 2},
		{"keygen example.com s1 ed25519 a b", 2},
		{"keygen a..b s1", 1},
		{"keygen example.com s_1 rsa2048 x.pem", 0},
		{"keygen example.com s/1", 1},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run r = tool_run(tool_dkim, wrong[i].words, "");
		if (r.status != wrong[i].status && wrong[i].status != 0)
			fail_msg("%s: %d %s", wrong[i].words, r.status, r.err);
		tool_run_free(&r);
	}
	unlink("x.pem");
}

/* RFC 5802 3, computed by OpenSSL alone. */
static void
check_scram(const struct passwd_entry *e, const char *password)
{
	unsigned char salted[32], client[32], stored[32], server[32];
	unsigned n;
	assert_true(e->has_scram && e->iterations >= 4096);
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password),
				 (const unsigned char *)e->salt.p, (int)e->salt.n,
				 (int)e->iterations, EVP_sha256(), 32, salted),
		1);
	assert_non_null(HMAC(
		EVP_sha256(), salted, 32, (const unsigned char *)"Client Key", 10, client, &n));
	assert_non_null(HMAC(
		EVP_sha256(), salted, 32, (const unsigned char *)"Server Key", 10, server, &n));
	assert_int_equal(EVP_Digest(client, 32, stored, &n, EVP_sha256(), NULL), 1);
	assert_memory_equal(e->stored_key.p, stored, 32);
	assert_memory_equal(e->server_key.p, server, 32);
}

static void
check_passwd(const char *words, const char *in, const char *name, const char *password)
{
	struct arena *a = arena_new(TEXT_MOST);
	struct map *users;
	struct err err;
	struct run r = tool_run(tool_passwd, words, in);
	assert_string_equal(r.err, "");
	assert_int_equal(r.status, 0);
	assert_int_equal(passwd_read("users", a, &users, &err), 0);
	const struct passwd_entry *e = map_get(users, slice_of(name));
	assert_non_null(e);
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	const char *hash = arena_text(a, e->crypt);
	assert_true(strncmp(hash, "$y$", 3) == 0);
	assert_string_equal(crypt_r(password, hash, data), hash);
	assert_string_not_equal(crypt_r("another", hash, data), hash);
	mem_free(data);
	check_scram(e, password);
	tool_run_free(&r);
	arena_free(&a);
}

static void
test_passwd(void **state)
{
	(void)state;
	check_passwd("alice users", "secret\n", "alice", "secret");
	check_passwd("bob users", "p\xc3\xa4ss wort", "bob", "p\xc3\xa4ss wort");
	check_passwd("alice users", "changed\r\n", "alice", "changed");
	/* RFC 4013: a no-break space is a space, a soft hyphen is nothing. */
	check_passwd("carol users", "I\xc2\xadX\xc2\xa0y\n", "carol", "IX y");
	char longest[300];
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	static const struct {
		const char *words, *in, *error;
		int status;
	} wrong[] = {
		{"alice users", "\n", "empty", 1},
		{"a:b users", "x\n", "no name of a user", 1},
		{"", "", "usage", 2},
		{"alice users", "bell\a\n", "forbids", 1},
		{"--x users", "", "usage", 2},
		{"alice nowhere/users", "x\n", "cannot", 1},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run r = tool_run(tool_passwd, wrong[i].words, wrong[i].in);
		if (r.status != wrong[i].status || (strstr(r.err, wrong[i].error) == NULL &&
							   strstr(r.err, "create") == NULL))
			fail_msg("%s: %d %s", wrong[i].words, r.status, r.err);
		tool_run_free(&r);
	}
	struct run r = tool_run(tool_passwd, "alice users", longest);
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "at most 255"));
	tool_run_free(&r);
	/* Without a file's name: the one that the configuration says. */
	write_config(RIGHT "inbound { accept }\n");
	r = tool_run(tool_passwd, "dave", "x\n");
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.err, "no listener of test.conf says `auth`"));
	tool_run_free(&r);
	unlink("users");
}

#define WHO "--client 192.0.2.1 --from a@sender.example --to c@example.com "

/* Stage by stage, with DNS from a file: what decided, and where the evaluation stopped. */
static void
test_explain(void **state)
{
	static const struct {
		const char *words, *out;
	} cases[] = {
		{WHO "--known yes --scan clean --dns dns m.eml",
			"recipient c@example.com, at body:\n"
			"test.conf:5    false       reject\n"
			"\trecipient known=yes (recipients any)\n"
			"test.conf:6    false       reject \"550 5.7.23 no\"\n"
			"\tspf=pass (mailfrom=sender.example ip4:192.0.2.1)\n"
			"test.conf:7    false       reject\n"
			"\tvirus=no\n"
			"test.conf:8    true        accept\n"
			"decision: accept by test.conf:8\n"
			"DNS questions: 1\n"},
		{"--client 192.0.2.2 --from a@sender.example --to c@example.com --dns dns "
		 "m.eml",
			"recipient c@example.com, at rcpt:\n"
			"test.conf:5    false       reject\n"
			"\trecipient known=yes (recipients any)\n"
			"test.conf:6    true        reject \"550 5.7.23 no\"\n"
			"\tspf=fail (mailfrom=sender.example -all)\n"
			"test.conf:7    not reached reject\n"
			"test.conf:8    not reached accept\n"
			"decision: reject by test.conf:6, \"550 5.7.23 no\"\n"
			"DNS questions: 1\n"},
		{"--client 192.0.2.1 --to c@else.example --dns dns m.eml",
			"recipient c@else.example, at rcpt:\n"
			"decision: reject, built in: its domain is not declared\n"
			"DNS questions: 0\n"},
	};
	(void)state;
	write_config(RIGHT "inbound {\n\treject if recipient is not known\n"
			   "\treject with \"550 5.7.23 no\" if spf is fail\n\treject if virus\n"
			   "\taccept\n}\n");
	write_file("dns", "# records\nsender.example TXT \"v=spf1 ip4:192.0.2.1\" \" -all\"\n"
			  "silent.example FAIL\n");
	write_file("m.eml", "From: a@sender.example\nTo: c@example.com\n"
			    "Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbody\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r = tool_run(tool_explain, cases[i].words, "");
		assert_string_equal(r.err, "");
		assert_string_equal(r.out, cases[i].out);
		assert_int_equal(r.status, 0);
		tool_run_free(&r);
	}
	/* Nobody scanned: the mail is deferred, and the fact named. */
	struct run r = tool_run(tool_explain, WHO "--dns dns m.eml", "");
	assert_non_null(strstr(r.out, "virus=failed"));
	assert_non_null(strstr(r.out, "decision: defer"));
	tool_run_free(&r);
	r = tool_run(tool_explain, WHO "--dns dns --scan Eicar-Test m.eml", "");
	assert_non_null(strstr(r.out, "decision: reject by test.conf:7"));
	tool_run_free(&r);
	/* HDR-01: two From fields. */
	write_file("m.eml", "From: a@sender.example\nFrom: b@example.com\n\nbody\n");
	r = tool_run(tool_explain, WHO "--dns dns --scan clean m.eml", "");
	assert_non_null(strstr(r.out, "decision: reject, built in: 550"));
	tool_run_free(&r);
	unlink("dns");
	unlink("m.eml");
}

static void
test_explain_wrong(void **state)
{
	static const struct {
		const char *words, *error;
		int status;
	} wrong[] = {
		{"m.eml", "usage", 2},
		{WHO, "usage", 2},
		{WHO "--known maybe m.eml", "usage", 2},
		{WHO "--state full m.eml", "usage", 2},
		{WHO "--dns dns nowhere.eml", "cannot read nowhere.eml", 1},
		{WHO "--outbound m.eml", "no outbound listener", 1},
		{"--client host --to c@example.com m.eml", "is no IP address", 1},
		{"--client 192.0.2.1 --to example.com m.eml", "is no address", 1},
		{WHO "--dns m.eml m.eml", "m.eml:1: expected NAME", 1},
	};
	(void)state;
	write_config(RIGHT "inbound {\n\taccept\n}\n");
	write_file("dns", "");
	write_file("m.eml", "From: a@sender.example\n\nbody\n");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct run r = tool_run(tool_explain, wrong[i].words, "");
		if (r.status != wrong[i].status || strstr(r.err, wrong[i].error) == NULL)
			fail_msg("%s: %d %s", wrong[i].words, r.status, r.err);
		tool_run_free(&r);
	}
	unlink("dns");
	unlink("m.eml");
}

/* Where the rules of a listener do not hold, what goes out is told behind what was decided. */
static void
test_explain_modes(void **state)
{
	static const struct {
		const char *modes[2], *rule, *said;
	} cases[] = {
		{{"", ""}, "reject with \"550 5.7.23 no\" if spf is fail", NULL},
		{{"mode soft", ""}, "reject with \"550 5.7.23 no\" if spf is fail",
			"\"550 5.7.23 no\"\n"
			"mode soft of the listener test.conf:2: defer, \"450 4.7.23 no\"\n"},
		{{"", "mode observe"}, "reject with \"550 5.7.23 no\" if spf is fail",
			"\"550 5.7.23 no\"\n"
			"mode observe of the listener test.conf:3: accept, with "
			"X-Postern-Observe, tag by test.conf:6\n"},
		{{"mode soft", "mode observe"}, "reject with \"550 5.7.23 no\" if spf is fail",
			"tag by test.conf:6\n"
			"mode soft of the listener test.conf:2: defer, \"450 4.7.23 no\"\n"},
		{{"mode soft", ""}, "defer if spf is fail", NULL},
		{{"mode observe", ""}, "accept if spf is fail", NULL},
	};
	(void)state;
	write_file("dns", "sender.example TXT \"v=spf1 -all\"\n");
	write_file(
		"m.eml", "From: a@sender.example\nDate: Sun, 22 Nov 2026 03:00:00 +0000\n\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[1000];
		snprintf(text, sizeof(text),
			"hostname \"mx.example.com\"\n"
			"listen inbound on \"127.0.0.1:25\" %s\n"
			"listen inbound on \"127.0.0.2:25\" %s\n"
			"domain \"example.com\" deliver to \"127.0.0.1:26\"\n"
			"inbound {\n\ttag \"X-A: b\" if spf is fail\n\t%s\n\taccept\n}\n",
			cases[i].modes[0], cases[i].modes[1], cases[i].rule);
		write_config(text);
		struct run r = tool_run(tool_explain, WHO "--dns dns m.eml", "");
		assert_int_equal(r.status, 0);
		if (cases[i].said == NULL ? strstr(r.out, "\nmode ") != NULL
					  : strstr(r.out, cases[i].said) == NULL)
			fail_msg("case %zu: %s%s", i, r.out, r.err);
		tool_run_free(&r);
	}
	unlink("dns");
	unlink("m.eml");
}

/* Limits are not asked, since that would count the mail: what is assumed is said. */
static void
test_explain_state(void **state)
{
	(void)state;
	write_file("dns", "silent.example FAIL\n");
	write_file("m.eml", "From: a@sender.example\nTo: c@example.com\n"
			    "Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbody\n");
	write_config(RIGHT
		"spool \"/var/spool/postern\"\ninbound {\n"
		"\tdefer if rate client > 5/minute\n\tdefer if greylisted\n\taccept\n}\n");
	static const struct {
		const char *state, *out;
	} assumed[] = {
		{"", "assumed: no limit is used up and the sender is known; --state used says "
		     "the opposite\n"},
		{"--state free ",
			"as --state says: no limit is used up and the sender is known\n"},
		{"--state used ",
			"\trate \"client > 5/minute\"=yes (client 192.0.2.1: 5 of 5 are "
			"used, the next in 12 seconds)\n"},
	};
	for (size_t i = 0; i < 3; i++) {
		char words[200];
		snprintf(words, sizeof(words), WHO "--dns dns %sm.eml", assumed[i].state);
		struct run r = tool_run(tool_explain, words, "");
		if (strstr(r.out, assumed[i].out) == NULL)
			fail_msg("%s", r.out);
		assert_true((strstr(r.out, "decision: accept") != NULL) == (i < 2));
		tool_run_free(&r);
	}
	unlink("dns");
	unlink("m.eml");
}

/* A directory is never asked by the tool: what it would have said is told, or has failed. */
static void
test_explain_lookups(void **state)
{
	static const struct {
		const char *words, *out;
	} cases[] = {
		{"m.eml", "sender in staff=failed (table staff: nobody was asked; say --lookup "
			  "staff a@sender.example yes or no)"},
		{"m.eml", "decision: defer"},
		{"--lookup staff a@sender.example yes m.eml",
			"decision: reject by test.conf:6"},
		{"--lookup staff A@Sender.Example no --lookup staff b@sender.example yes m.eml",
			"decision: accept by test.conf:7"},
	};
	(void)state;
	write_config(RIGHT "table staff ldap \"ldap://192.0.2.9/dc=x\" filter \"(mail=%s)\"\n"
			   "inbound {\n\treject if sender in staff\n\taccept\n}\n");
	write_file("m.eml", "From: a@sender.example\nTo: c@example.com\n"
			    "Date: Sun, 22 Nov 2026 03:00:00 +0000\n\nbody\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char words[300];
		snprintf(words, sizeof(words), WHO "%s", cases[i].words);
		struct run r = tool_run(tool_explain, words, "");
		if (strstr(r.out, cases[i].out) == NULL)
			fail_msg("%s: %s%s", cases[i].words, r.out, r.err);
		tool_run_free(&r);
	}
	static const char *const wrong[] = {WHO "--lookup staff a@sender.example maybe m.eml",
		WHO "m.eml --lookup staff a"};
	for (size_t i = 0; i < 2; i++) {
		struct run r = tool_run(tool_explain, wrong[i], "");
		assert_int_equal(r.status, 2);
		assert_non_null(strstr(r.err, "usage"));
		tool_run_free(&r);
	}
	unlink("m.eml");
}

/* The file of DNS answers: each type, case, final dots, what is not there, what is wrong. */
static void
test_dns_file(void **state)
{
	static const struct {
		const char *line;
		bool ok;
	} lines[] = {
		{"a.example A 192.0.2.1", true},
		{"a.example AAAA 2001:db8::1", true},
		{"a.example A 2001:db8::1", false},
		{"a.example MX 10 b.example.", true},
		{"a.example MX b.example", false},
		{"a.example MX 70000 b.example", false},
		{"a.example TXT v=spf1 -all", true},
		{"a.example TXT \"open", false},
		{"a.example TXT \"a\" b", false},
		{"a.example CNAME b.example", false},
		{"a..example A 192.0.2.1", false},
		{"a.example", false},
		{"a.example FAIL x", false},
	};
	struct arena *a = arena_new(16 << 20);
	struct dns_file f;
	struct err err;
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		write_file("dns", lines[i].line);
		if ((dns_file_read("dns", a, &f, &err) == 0) != lines[i].ok)
			fail_msg("%s: %s", lines[i].line, err.text);
	}
	write_file("dns", "A.example. MX 10 b.example.\na.example MX 20 c.example\n\n"
			  "2.example FAIL\n");
	assert_int_equal(dns_file_read("dns", a, &f, &err), 0);
	const struct dns_answer *mx = dns_file_look_up(&f, SLICE("a.EXAMPLE."), DNS_MX);
	assert_int_equal(mx->status, DNS_OK);
	assert_int_equal(mx->n, 2);
	assert_int_equal(mx->rr[1].preference, 20);
	assert_true(slice_eq(mx->rr[0].text, SLICE("b.example")));
	assert_int_equal(dns_file_look_up(&f, SLICE("a.example"), DNS_A)->status, DNS_NODATA);
	assert_int_equal(dns_file_look_up(&f, SLICE("b.example"), DNS_A)->status, DNS_NXDOMAIN);
	assert_int_equal(dns_file_look_up(&f, SLICE("2.example"), DNS_A)->status, DNS_FAIL);
	unlink("dns");
	arena_free(&a);
}

static int
enter_folder(void **state)
{
	static char folder[] = "/tmp/postern_tool.XXXXXX";
	*state = folder;
	return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int
leave_folder(void **state)
{
	unlink("test.conf");
	return chdir("/") != 0 || rmdir(*state) != 0;
}

/* The libraries in their process say what they would say under posternd. */
static void
test_explain_second_engines(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 << 20);
	size_t room = 200 * 1024, n = 0;
	char *large = arena_alloc(a, room);
	write_config(RIGHT "filter spf { engine libspf2 }\nfilter dkim { engine libopendkim }\n"
			   "inbound {\n\treject if spf is permerror\n"
			   "\treject if dkim is not permerror\n\taccept\n}\n");
	/* A CIDR length of 0 is a syntax error to libspf2, and none to us. */
	write_file("dns", "sender.example TXT \"v=spf1 a:far.example -all\"\n"
			  "far.example A 192.0.2.1\n"
			  "wide.example TXT \"v=spf1 ip4:0.0.0.0/0 -all\"\n");
	n = (size_t)snprintf(large, room,
		"DKIM-Signature: v=1; a=rsa-sha256; d=sender.example; s=none; h=from; bh=YQ==; "
		"b=YQ==\nFrom: a@sender.example\nTo: c@example.com\n"
		"Date: Sun, 22 Nov 2026 03:00:00 +0000\n\n");
	while (n < 150 * 1024)
		n += (size_t)snprintf(large + n, room - n, "a line of a mail that is large\n");
	write_file("m.eml", large);
	arena_free(&a);
	struct run r = tool_run(tool_explain, WHO "--dns dns m.eml", "");
	assert_string_equal(r.err, "");
	assert_non_null(strstr(r.out, "spf=pass"));
	assert_non_null(strstr(r.out, "libopendkim says so"));
	assert_non_null(strstr(r.out, "decision: accept by test.conf:9"));
	tool_run_free(&r);
	r = tool_run(tool_explain,
		"--client 192.0.2.1 --from a@wide.example --to c@example.com --dns dns m.eml",
		"");
	assert_non_null(strstr(r.out, "spf=permerror"));
	assert_non_null(strstr(r.out, "decision: reject by test.conf:7"));
	tool_run_free(&r);
	unlink("dns");
	unlink("m.eml");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_modes),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_keygen),
		cmocka_unit_test(test_passwd),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_explain_wrong),
		cmocka_unit_test(test_explain_modes),
		cmocka_unit_test(test_explain_state),
		cmocka_unit_test(test_explain_lookups),
		cmocka_unit_test(test_explain_second_engines),
		cmocka_unit_test(test_dns_file),
	};
	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
