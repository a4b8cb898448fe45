/*
 * The servers of one domain: which is asked next, and what is told of them (OUT-01, OUT-03,
 * OUT-05). Two servers behind one MX answer, on loopback; whoever puts us off before the mail
 * hands it to the other, and who has answered is known in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "certs.h"
#include "names.h"
#include "relay/mx.h"
#include "relay/relay.h"
#include "remote.h"

#define ARRAY(a)  (sizeof(a) / sizeof((a)[0]))
#define MAIL_TEXT "From: a@example.org\r\n\r\nhello\r\n"

static const struct name rows[] = {
	{"\4dest\7example", 0, DNS_MX, "\0\12\3mx1\4dest\7example", 20},
	{"\4dest\7example", 0, DNS_MX, "\0\24\3mx2\4dest\7example", 20},
	{"\3mx1\4dest\7example", 0, DNS_A, "\177\0\0\2", 4},
	{"\3mx2\4dest\7example", 0, DNS_A, "\177\0\0\3", 4},
	{"\4dead\7example", 0, DNS_MX, "\0\12\3mx1\4dest\7example", 20},
	{"\4dead\7example", 0, DNS_MX, "\0\24\3mx4\4dest\7example", 20},
	{"\3mx4\4dest\7example", 0, DNS_A, "\177\0\0\4", 4}, /* nobody listens there */
	{"\6broken\7example", 2, 0, NULL, 0},
	{"\4many\7example", 0, DNS_MX, "\0\12\3mx1\4dest\7example", 20},
	{"\4many\7example", 0, DNS_MX, "\0\24\3mx2\4dest\7example", 20},
	{"\4many\7example", 0, DNS_MX, "\0\36\3mx5\4dest\7example", 20},
	{"\3mx5\4dest\7example", 0, DNS_A, "\177\0\0\5", 4},
	/* One server by two of its addresses, and another. */
	{"\5twice\7example", 0, DNS_MX, "\0\12\5where\4dest\7example", 22},
	{"\5twice\7example", 0, DNS_MX, "\0\24\3mx2\4dest\7example", 20},
	{"\5where\4dest\7example", 0, DNS_A, "\177\0\0\2", 4},
	{"\5where\4dest\7example", 0, DNS_A, "\177\0\0\5", 4},
};

static struct {
	struct loop *loop;
	struct names names;
	struct dns *dns;
	struct relay_config config;
	struct relay_pool *pool;
	struct remote a, b; /* mx1, mx2 */
	struct next_hop hop;
	struct hop_list list;
	struct relay_way way;
	struct arena *arena;
	struct relay_body body;
	struct relay_mail mail;
	struct relay_rcpt rcpt;
	struct relay_result result;
	unsigned called;
	struct loop_timer late;
} w;

static void
on_late(void *arg)
{
	(void)arg;
	loop_stop(w.loop);
}

static void
run_for(uint32_t ms)
{
	struct err err;
	loop_timer_set(&w.late, ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.late);
}

static struct address
address_of(const char *text)
{
	struct slice s = slice_of(text), local, domain;
	slice_cut(s, '@', &local, &domain);
	return (struct address){.local = local, .domain = domain, .text = s, .raw = s};
}

static void
mail_to(const char *rcpt)
{
	relay_body_init(&w.body, w.arena);
	relay_body_add(&w.body, SLICE(MAIL_TEXT));
	w.rcpt = (struct relay_rcpt){.address = address_of(rcpt)};
	w.mail = (struct relay_mail){.sender = address_of("s@example.org"),
		.rcpts = &w.rcpt,
		.n_rcpts = 1,
		.body = &w.body,
		.times = &relay_times_inbound,
		.arena = w.arena};
}

static void
world_open(const char *domain)
{
	struct err err;
	memset(&w, 0, sizeof(w));
	w.arena = arena_new(4 * 1024 * 1024);
	w.loop = loop_new(&err);
	assert_non_null(w.loop);
	loop_timer_init(&w.late, w.loop, on_late, NULL);
	names_start(&w.names, w.loop, rows, ARRAY(rows));
	struct dns_config dns = {.n = 1, .insecure = true};
	must(ip_parse(SLICE("127.0.0.1"), &dns.servers[0].ip));
	dns.servers[0].port = w.names.port;
	w.dns = dns_open(w.loop, &dns, &err);
	assert_non_null(w.dns);
	w.a.address = "127.0.0.2";
	w.a.greeting = "mx1 of a provider";
	remote_start(&w.a, w.loop);
	w.b.address = "127.0.0.3";
	w.b.greeting = "mx2 of a provider";
	w.b.port = w.a.port;
	remote_start(&w.b, w.loop);
	w.config = (struct relay_config){
		.loop = w.loop, .dns = w.dns, .hostname = SLICE("gate.example")};
	w.pool = relay_pool_new(&w.config);
	w.hop = (struct next_hop){.kind = HOP_MX,
		.text = slice_of(domain),
		.host = slice_of(domain),
		.port = w.a.port};
	w.list = (struct hop_list){.hops = &w.hop, .n = 1};
	w.way = (struct relay_way){.hops = &w.list, .direct = true};
	mail_to("r@dest.example");
}

static void
world_close(void)
{
	relay_pool_free(&w.pool);
	remote_stop(&w.a);
	remote_stop(&w.b);
	run_for(20); /* QUITs on their way */
	dns_close(&w.dns);
	names_stop(&w.names);
	loop_free(&w.loop);
	arena_free(&w.arena);
}

static void
on_result(void *arg, const struct relay_result *r)
{
	(void)arg;
	w.result = *r;
	w.called++;
	loop_stop(w.loop);
}

static void
wait_for_result(void)
{
	unsigned before = w.called;
	run_for(5000);
	assert_int_equal(w.called, before + 1);
}

static void
send_and_wait(void)
{
	relay_send(w.pool, &w.way, &w.mail, on_result, NULL);
	wait_for_result();
}

static void
fault(struct remote *r, const char *at, const char *say)
{
	r->fault_at = at;
	r->fault = say != NULL ? REMOTE_SAY : REMOTE_CLOSE;
	r->say = say;
	r->on = ~0u;
}

struct next_case {
	const char *at, *say; /* NULL: closes */
	bool second;          /* the mail goes to the second server */
	enum relay_fate fate;
};

static const struct next_case next_cases[] = {
	{"CONNECT", NULL, true, RELAY_TAKEN},
	{"CONNECT", "421 4.7.0 too many of you", true, RELAY_TAKEN},
	{"CONNECT", "554 5.7.1 you are listed", true, RELAY_TAKEN},
	{"EHLO", "451 4.3.2 later", true, RELAY_TAKEN},
	{"MAIL", "451 4.7.1 later", true, RELAY_TAKEN},
	{"MAIL", "421 4.7.1 going", true, RELAY_TAKEN},
	{"MAIL", "550 5.7.1 no", false, RELAY_REFUSED},
	{"RCPT", "451 4.7.1 greylisted", false, RELAY_DEFERRED},
	{"DATA", "451 4.7.1 later", false, RELAY_DEFERRED},
	{"DOT", "451 4.7.1 later", false, RELAY_DEFERRED},
};

static void
test_the_next_server(void **state)
{
	static const char *const extensions[] = {NULL, "PIPELINING"};
	(void)state;
	for (size_t i = 0; i < ARRAY(next_cases) * ARRAY(extensions); i++) {
		const struct next_case *c = &next_cases[i / ARRAY(extensions)];
		world_open("dest.example");
		fault(&w.a, c->at, c->say);
		w.a.extensions = w.b.extensions = extensions[i % ARRAY(extensions)];
		send_and_wait();
		if (w.rcpt.fate != c->fate || (w.b.mails == 1) != c->second ||
			(w.b.n_conns == 1) != c->second)
			fail_msg("%s %s: fate %d, %u mails", c->at, c->say, (int)w.rcpt.fate,
				w.b.mails);
		if (c->second)
			assert_true(slice_eq(w.result.host, SLICE("mx2.dest.example")));
		assert_true(w.result.mx_set != 0);
		world_close();
	}
}

/* Both put us off: the words of the last one, whatever came between. */
static void
test_all_put_off(void **state)
{
	(void)state;
	world_open("dest.example");
	fault(&w.a, "MAIL", "451 4.7.1 first");
	fault(&w.b, "MAIL", "452 4.3.1 second");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.rcpt.reply.code, 452);
	assert_int_equal(w.rcpt.phase, SMTP_CL_MAIL);
	assert_int_equal(w.result.reply.code, 452);
	assert_int_equal(w.result.stage, RELAY_AT_MAIL);
	assert_int_equal(w.result.phase, SMTP_CL_MAIL);
	assert_true(w.result.from_hop);
	assert_int_equal(w.result.attempts, 2);
	assert_true(slice_eq(w.result.host, SLICE("mx2.dest.example")));
	assert_true(slice_eq(w.result.banner, SLICE("mx2 of a provider")));
	world_close();
	/* Words tell more than silence: the first one's are kept. */
	world_open("dead.example");
	fault(&w.a, "MAIL", "451 4.7.1 first");
	send_and_wait();
	assert_int_equal(w.result.reply.code, 451);
	assert_true(slice_eq(w.result.reply.text, SLICE("first")));
	assert_true(w.result.from_hop);
	assert_int_equal(w.result.attempts, 2);
	assert_true(slice_eq(w.result.host, SLICE("mx1.dest.example")));
	assert_int_equal(w.result.address.ip.bytes[3], 2);
	world_close();
}

/* Two servers are asked, not all that a provider has: whoever limits us is not pressed. */
static void
test_put_off_twice(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		world_open(i == 0 ? "many.example" : "twice.example");
		struct remote third = {.address = "127.0.0.5", .port = w.a.port};
		remote_start(&third, w.loop);
		fault(&w.a, "MAIL", "451 4.7.1 first");
		if (i == 0)
			fault(&w.b, "MAIL", "451 4.7.1 second");
		else
			fault(&third, "MAIL", "451 4.7.1 first");
		send_and_wait();
		assert_int_equal(w.result.attempts, 2);
		assert_int_equal(w.b.n_conns, 1);
		assert_int_equal(w.a.n_conns + third.n_conns, 1);
		assert_int_equal(w.rcpt.fate, i == 0 ? RELAY_DEFERRED : RELAY_TAKEN);
		relay_pool_free(&w.pool);
		remote_stop(&third);
		w.pool = relay_pool_new(&w.config);
		world_close();
	}
}

/* An idle connection that is shut with words says nothing of its server. */
static void
test_farewell_of_a_kept_connection(void **state)
{
	(void)state;
	world_open("dead.example");
	send_and_wait();
	assert_int_equal(w.a.mails, 1);
	w.a.fault_at = "MAIL";
	w.a.fault = REMOTE_SAY;
	w.a.say = "421 4.4.2 idle for too long";
	w.a.on = 1;
	listener_free(&w.a.listener);
	close(w.a.fd);
	w.a.fd = -1;
	mail_to("r@dest.example");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.result.said.code, 0);
	assert_int_equal(w.result.stage, RELAY_AT_CONNECT);
	world_close();
}

static void
test_refused_before_the_mail(void **state)
{
	(void)state;
	world_open("dead.example");
	fault(&w.a, "CONNECT", "554 5.7.1 you are listed");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED); /* never for good */
	assert_int_equal(w.result.reply.code, 451);
	assert_false(w.result.from_hop);
	assert_int_equal(w.result.said.code, 554);
	assert_true(slice_eq(w.result.said.text, SLICE("you are listed")));
	assert_int_equal(w.result.stage, RELAY_AT_GREETING);
	assert_true(slice_eq(w.result.host, SLICE("mx1.dest.example")));
	assert_true(slice_eq(w.result.banner, SLICE("you are listed")));
	world_close();
	/* The same of one that goes in the midst of the mail. */
	world_open("dead.example");
	fault(&w.a, "RCPT", "421 4.3.2 going");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_int_equal(w.result.said.code, 421);
	assert_int_equal(w.result.stage, RELAY_AT_RCPT);
	assert_true(slice_eq(w.result.host, SLICE("mx1.dest.example")));
	world_close();
	world_open("broken.example");
	send_and_wait();
	assert_int_equal(w.result.stage, RELAY_AT_DNS);
	assert_int_equal(w.result.said.code, 0);
	assert_true(w.result.mx_set == 0);
	world_close();
}

/* A kept connection that puts the mail off is an answer of its server: the other is next. */
static void
test_put_off_over_a_kept_connection(void **state)
{
	(void)state;
	world_open("dest.example");
	send_and_wait();
	assert_int_equal(w.a.mails, 1);
	fault(&w.a, "MAIL", "451 4.7.1 later");
	mail_to("r@dest.example");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	assert_int_equal(w.a.n_conns, 1);
	assert_int_equal(w.b.mails, 1);
	/* And where there is none other, its words are the answer. */
	fault(&w.b, "MAIL", "451 4.7.1 later");
	mail_to("r@dest.example");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_true(w.result.from_hop);
	assert_int_equal(w.result.attempts, 2);
	world_close();
}

/* The deadline falls while the second is silent: what the first one said is told. */
static void
test_deadline_behind_words(void **state)
{
	(void)state;
	world_open("dest.example");
	fault(&w.a, "MAIL", "451 4.7.1 greylisted");
	w.b.fault_at = "EHLO";
	w.b.fault = REMOTE_SILENT;
	w.b.on = 1;
	w.mail.deadline_ms = loop_now(w.loop) + 300;
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_DEFERRED);
	assert_true(slice_eq(w.rcpt.reply.text, SLICE("greylisted")));
	assert_true(w.result.from_hop);
	assert_int_equal(w.b.mails, 0);
	world_close();
}

static void
test_prefer(void **state)
{
	(void)state;
	world_open("dest.example");
	must(ip_parse(SLICE("127.0.0.3"), &w.mail.prefer));
	send_and_wait();
	assert_int_equal(w.b.mails, 1);
	assert_int_equal(w.a.n_conns, 0);
	assert_true(slice_eq(w.result.host, SLICE("mx2.dest.example")));
	/* A kept connection elsewhere is not it; one there is. */
	mail_to("r@dest.example");
	must(ip_parse(SLICE("127.0.0.2"), &w.mail.prefer));
	send_and_wait();
	send_and_wait();
	assert_int_equal(w.a.mails, 2);
	assert_int_equal(w.a.n_conns, 1);
	world_close();
	/* The others are still there behind it; what the site does not have is nothing. */
	world_open("dest.example");
	fault(&w.b, "EHLO", NULL);
	must(ip_parse(SLICE("127.0.0.3"), &w.mail.prefer));
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	assert_int_equal(w.a.mails, 1);
	mail_to("r@dest.example");
	must(ip_parse(SLICE("192.0.2.1"), &w.mail.prefer));
	send_and_wait();
	assert_int_equal(w.a.mails, 2);
	world_close();
}

/* ---- who has answered ---- */

static uint64_t
fingerprint(X509 *x509)
{
	unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
	int n = i2d_X509(x509, &der);
	uint64_t first = 0;
	must(n > 0);
	SHA256(der, (size_t)n, digest);
	OPENSSL_free(der);
	for (size_t i = 0; i < sizeof(first); i++)
		first = first << 8 | digest[i];
	return first;
}

static void
test_who_has_answered(void **state)
{
	struct cert cert;
	struct err err;
	(void)state;
	world_open("dest.example");
	send_and_wait();
	assert_true(slice_eq(w.result.banner, SLICE("mx1 of a provider")));
	assert_false(w.result.starttls);
	assert_true(w.result.certificate == 0);
	uint64_t mx_set = w.result.mx_set;
	world_close();
	cert_make(&cert, "remote.example", CERT_EC, 1, NULL);
	struct tls_server *server = tls_server_new(&err);
	must(server != NULL && tls_server_add(server, buf_slice(&cert.cert_pem), "cert",
				       buf_slice(&cert.key_pem), "key", &err) == 0);
	struct tls_client *client = tls_client_new(buf_slice(&cert.cert_pem), &err);
	must(client != NULL);
	world_open("dest.example");
	w.a.tls = server;
	relay_pool_free(&w.pool);
	w.config.tls = client;
	w.pool = relay_pool_new(&w.config);
	for (int i = 0; i < 2; i++) { /* a new connection, and the same one kept */
		mail_to("r@dest.example");
		send_and_wait();
		assert_true(w.result.tls && w.result.starttls);
		assert_true(slice_eq(w.result.banner, SLICE("mx1 of a provider")));
		assert_true(w.result.certificate == fingerprint(cert.x509));
		assert_true(w.result.mx_set == mx_set);
	}
	assert_int_equal(w.a.n_conns, 1);
	world_close();
	tls_client_free(&client);
	tls_server_free(&server);
	cert_free(&cert);
}

static struct dns_answer
answer_of(struct dns_rr *rr, size_t n, enum dns_status status)
{
	return (struct dns_answer){.status = status, .n = n, .rr = rr};
}

static void
test_mx_set(void **state)
{
	(void)state;
	struct arena *a = arena_new(64 * 1024);
	struct dns_rr one[] = {{.text = SLICE("a.example")}, {.text = SLICE("b.example")}};
	struct dns_rr turned[] = {{.preference = 5, .text = SLICE("B.Example.")},
		{.text = SLICE("a.example")}, {.text = SLICE("A.EXAMPLE")}};
	struct dns_rr joined[] = {{.text = SLICE("a.exampleb.example")}};
	struct dns_answer set = answer_of(one, 2, DNS_OK);
	uint64_t hash = mx_set_hash(SLICE("x.example"), &set, a);
	assert_true(hash == UINT64_C(0x23e483322cbe6bfa)); /* for ever */
	set = answer_of(turned, 3, DNS_OK);
	assert_true(mx_set_hash(SLICE("y.example"), &set, a) == hash);
	set = answer_of(one, 1, DNS_OK);
	uint64_t first = mx_set_hash(SLICE("x.example"), &set, a);
	assert_true(first != hash && first != 0);
	set = answer_of(joined, 1, DNS_OK);
	assert_true(mx_set_hash(SLICE("x.example"), &set, a) != hash);
	/* Without MX the domain is its own server. */
	set = answer_of(NULL, 0, DNS_NODATA);
	assert_true(mx_set_hash(SLICE("A.example"), &set, a) == first);
	arena_free(&a);
}

/* ---- a recipient alone ---- */

static void
ask_and_wait(const char *rcpt)
{
	mail_to(rcpt);
	w.mail.body = NULL;
	relay_ask(w.pool, &w.way, &w.mail, on_result, NULL);
	wait_for_result();
}

static void
test_ask(void **state)
{
	(void)state;
	world_open("dest.example");
	w.a.extensions = "PIPELINING";
	ask_and_wait("550.no@dest.example");
	assert_true(w.result.from_hop);
	assert_int_equal(w.rcpt.phase, SMTP_CL_RCPT);
	assert_int_equal(w.rcpt.reply.code, 550);
	assert_int_equal(w.rcpt.fate, RELAY_REFUSED);
	run_for(20); /* RSET is answered */
	ask_and_wait("r@dest.example");
	assert_int_equal(w.rcpt.reply.code, 250);
	assert_int_equal(w.result.stage, RELAY_AT_RCPT);
	run_for(20);
	mail_to("r@dest.example");
	send_and_wait();
	assert_int_equal(w.rcpt.fate, RELAY_TAKEN);
	assert_int_equal(w.a.n_conns, 1); /* one for all */
	assert_int_equal(w.a.mails, 1);
	assert_true(slice_eq(buf_slice(&w.a.commands),
		SLICE("EHLO gate.example\n"
		      "MAIL FROM:<s@example.org>\nRCPT TO:<550.no@dest.example>\nRSET\n"
		      "MAIL FROM:<s@example.org>\nRCPT TO:<r@dest.example>\nRSET\n"
		      "MAIL FROM:<s@example.org>\nRCPT TO:<r@dest.example>\nDATA\n")));
	world_close();
	/* The first server puts us off: the second one knows the recipient as well. */
	world_open("dest.example");
	fault(&w.a, "MAIL", "451 4.7.1 later");
	ask_and_wait("550.no@dest.example");
	assert_int_equal(w.rcpt.reply.code, 550);
	assert_true(slice_eq(w.result.host, SLICE("mx2.dest.example")));
	world_close();
	world_open("dest.example");
	fault(&w.a, "MAIL", "550 5.7.1 not from you");
	ask_and_wait("r@dest.example");
	assert_int_equal(w.rcpt.reply.code, 550);
	assert_int_equal(w.rcpt.phase, SMTP_CL_MAIL);
	world_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_next_server),
		cmocka_unit_test(test_all_put_off),
		cmocka_unit_test(test_put_off_twice),
		cmocka_unit_test(test_farewell_of_a_kept_connection),
		cmocka_unit_test(test_refused_before_the_mail),
		cmocka_unit_test(test_put_off_over_a_kept_connection),
		cmocka_unit_test(test_deadline_behind_words),
		cmocka_unit_test(test_prefer),
		cmocka_unit_test(test_who_has_answered),
		cmocka_unit_test(test_mx_set),
		cmocka_unit_test(test_ask),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
