/*
 * Answers that DNSSEC proves, forged ones, and those outside any anchor: against a name server
 * that signs with Ed25519 as it answers (RFC 4034 3.1.8.1, RFC 8080). The trust anchor is the
 * zone's key.
 */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "io/dns.h"

enum { TYPE_DNSKEY = 48, TYPE_RRSIG = 46, ALGORITHM = 15, SIGNATURE_BYTES = 64, TTL = 300 };

static const uint8_t zone[] = "\6signed\7example"; /* with its final zero */

static struct {
	struct loop *loop;
	struct dns *dns;
	EVP_PKEY *key;
	uint8_t dnskey[36];
	int fd;
	struct dns_server at;
	struct loop_watch *watch;
	struct loop_timer stop;
	struct dns_answer answer;
	uint8_t first[8];
	bool answered;
} w;

struct out {
	uint8_t bytes[1500];
	size_t n;
};

static void
put(struct out *o, const void *bytes, size_t n)
{
	assert_true(n <= sizeof(o->bytes) - o->n);
	memcpy(o->bytes + o->n, bytes, n);
	o->n += n;
}

static void
put16(struct out *o, unsigned v)
{
	const uint8_t b[] = {(uint8_t)(v >> 8), (uint8_t)v};
	put(o, b, sizeof(b));
}

static void
put32(struct out *o, uint32_t v)
{
	put16(o, v >> 16);
	put16(o, v & 0xffff);
}

static void
put_rr(struct out *o, const uint8_t *owner, size_t owner_bytes, unsigned type,
	const void *rdata, size_t n)
{
	put(o, owner, owner_bytes);
	put16(o, type);
	put16(o, 1);
	put32(o, TTL);
	put16(o, (unsigned)n);
	put(o, rdata, n);
}

/* RFC 4034 appendix B. */
static unsigned
key_tag(void)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof(w.dnskey); i++)
		sum += (i & 1) != 0 ? w.dnskey[i] : (uint32_t)w.dnskey[i] << 8;
	return (sum + (sum >> 16)) & 0xffff;
}

static unsigned
count_labels(const uint8_t *name)
{
	unsigned n = 0;
	for (; *name != 0; name += 1 + *name)
		n++;
	return n;
}

/* The one record and its signature, good or not. */
static void
put_signed(struct out *o, const uint8_t *owner, size_t owner_bytes, unsigned type,
	const void *rdata, size_t n, bool good)
{
	struct out head = {.n = 0}, data;
	uint8_t signature[SIGNATURE_BYTES];
	size_t bytes = sizeof(signature);
	uint32_t now = (uint32_t)time(NULL);
	put16(&head, type);
	const uint8_t two[] = {ALGORITHM, (uint8_t)count_labels(owner)};
	put(&head, two, sizeof(two));
	put32(&head, TTL);
	put32(&head, now + 3600);
	put32(&head, now - 3600);
	put16(&head, key_tag());
	put(&head, zone, sizeof(zone));
	data = head;
	put_rr(&data, owner, owner_bytes, type, rdata, n);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, w.key), 1);
	assert_int_equal(EVP_DigestSign(ctx, signature, &bytes, data.bytes, data.n), 1);
	EVP_MD_CTX_free(ctx);
	if (!good)
		signature[10] ^= 1;
	put_rr(o, owner, owner_bytes, type, rdata, n);
	put(&head, signature, bytes);
	put_rr(o, owner, owner_bytes, TYPE_RRSIG, head.bytes, head.n);
}

static void
server_answer(const uint8_t *q, size_t n, struct out *o)
{
	static const uint8_t ip[] = {192, 0, 2, 7};
	static const uint8_t opt[] = {0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0};
	size_t end = 12;
	uint8_t name[256];
	while (end < n && q[end] != 0)
		end += 1 + (size_t)q[end];
	end++;
	assert_true(end + 4 <= n);
	size_t name_bytes = end - 12;
	for (size_t i = 0; i < name_bytes; i++)
		name[i] = (uint8_t)ascii_lower((char)q[12 + i]);
	unsigned type = (unsigned)q[end] << 8 | q[end + 1];
	o->n = 0;
	put(o, q, end + 4);
	o->bytes[2] = 0x81;
	o->bytes[3] = 0x80;
	memset(o->bytes + 6, 0, 6);
	bool in_zone = name_bytes > sizeof(zone) &&
		       memcmp(name + name_bytes - sizeof(zone), zone, sizeof(zone)) == 0;
	if (type == TYPE_DNSKEY && name_bytes == sizeof(zone) &&
		memcmp(name, zone, sizeof(zone)) == 0) {
		o->bytes[7] = 2;
		put_signed(o, name, name_bytes, type, w.dnskey, sizeof(w.dnskey), true);
	} else if (type == DNS_A && in_zone) {
		o->bytes[7] = 2;
		put_signed(o, name, name_bytes, type, ip, sizeof(ip), name[1] != 'f');
	} else if (type == DNS_A) {
		o->bytes[7] = 1;
		put_rr(o, name, name_bytes, type, ip, sizeof(ip));
	}
	o->bytes[11] = 1;
	put(o, opt, sizeof(opt));
}

static void
server_on_udp(void *arg, unsigned ready)
{
	uint8_t in[1500];
	struct out o;
	struct sockaddr_storage from;
	socklen_t bytes = sizeof(from);
	(void)arg;
	(void)ready;
	ssize_t n = recvfrom(w.fd, in, sizeof(in), 0, (struct sockaddr *)&from, &bytes);
	assert_true(n > 12);
	server_answer(in, (size_t)n, &o);
	assert_int_equal(sendto(w.fd, o.bytes, o.n, 0, (struct sockaddr *)&from, bytes), o.n);
}

static void
on_stop(void *arg)
{
	(void)arg;
	loop_stop(w.loop);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	(void)arg;
	w.answer = *answer;
	w.answered = true;
	if (answer->n != 0)
		memcpy(w.first, answer->rr[0].ip.bytes, 4);
	loop_stop(w.loop);
}

static void
ask(const char *name, unsigned flags)
{
	struct err err;
	w.answered = false;
	loop_timer_set(&w.stop, 5000);
	dns_ask(w.dns, slice_of(name), DNS_A, flags, 4000, on_answer, NULL);
	assert_int_equal(loop_run(w.loop, &err), 0);
	assert_true(w.answered);
}

static void
make_anchor(char *path)
{
	static const uint8_t head[] = {1, 1, 3, ALGORITHM}; /* flags 257, protocol 3 */
	size_t n = 32;
	struct arena *a = arena_new(4096);
	w.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	memcpy(w.dnskey, head, sizeof(head));
	assert_int_equal(EVP_PKEY_get_raw_public_key(w.key, w.dnskey + 4, &n), 1);
	struct slice key = base64_encode((struct slice){(const char *)w.dnskey + 4, 32}, a);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "; the zone's key\nsigned.example.\tIN DNSKEY 257 3 15 %.*s\n",
			    SLICE_ARG(key)) > 0);
	close(fd);
	arena_free(&a);
}

static int
open_world(void **state)
{
	static char path[] = "/tmp/io_dns_secure_test.XXXXXX";
	struct sockaddr_storage ss;
	struct err err;
	socklen_t n;
	(void)state;
	make_anchor(path);
	w.loop = loop_new(&err);
	loop_timer_init(&w.stop, w.loop, on_stop, NULL);
	ip_parse(SLICE("127.0.0.1"), &w.at.ip);
	w.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	n = ip_to_sockaddr(&w.at.ip, 0, &ss);
	if (bind(w.fd, (struct sockaddr *)&ss, n) < 0 ||
		getsockname(w.fd, (struct sockaddr *)&ss, &n) < 0)
		return -1;
	ip_from_sockaddr((struct sockaddr *)&ss, &w.at.ip, &w.at.port);
	w.watch = loop_watch_new(w.loop, w.fd, server_on_udp, NULL);
	loop_watch_set(w.watch, LOOP_READ);
	struct dns_config config = {.servers = {w.at}, .n = 1, .trust_file = path};
	w.dns = dns_open(w.loop, &config, &err);
	unlink(path);
	return w.dns != NULL ? 0 : -1;
}

static int
close_world(void **state)
{
	(void)state;
	dns_close(&w.dns);
	loop_timer_clear(&w.stop);
	loop_watch_free(&w.watch);
	close(w.fd);
	loop_free(&w.loop);
	EVP_PKEY_free(w.key);
	return 0;
}

static void
answers_are_proven_or_not(void **state)
{
	static const struct {
		const char *name;
		unsigned flags;
		enum dns_status status;
		bool secure;
	} rows[] = {
		{"mail.signed.example", DNS_SECURE, DNS_OK, true},
		{"Mail.Signed.Example.", DNS_SECURE, DNS_OK,
			true}, /* from libunbound's cache */
		{"forged.signed.example", DNS_SECURE, DNS_BOGUS, false},
		{"mail.elsewhere.example", DNS_SECURE, DNS_OK, false},
		/* Without the flag nobody looks, and nothing that was proven leaks into the
		   answer. */
		{"forged.signed.example", 0, DNS_OK, false},
		{"mail.signed.example", 0, DNS_OK, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(rows[i].name, rows[i].flags);
		if (w.answer.status != rows[i].status || w.answer.secure != rows[i].secure)
			fail_msg("%s: %s, secure %d", rows[i].name,
				dns_status_text(w.answer.status), w.answer.secure);
		assert_int_equal(w.answer.n, rows[i].status == DNS_OK ? 1 : 0);
		if (w.answer.n != 0)
			assert_memory_equal(w.first, "\xc0\0\2\7", 4);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_proven_or_not),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}
