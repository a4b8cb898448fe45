/*
 * The process that checks passwords, as posternd starts it, behind its messages: PLAIN, LOGIN,
 * SCRAM-SHA-256 with GNU SASL's client; what is wrong is refused in the same way as what is not
 * there (RFC 4616, 4954, 7677).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <crypt.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "conf/passwd.h"
#include "conf_text.h"
#include "serving.h"
#include "session/authenticator.h"

enum { CONVERSATIONS_MOST = 1024, STEPS_MOST = 4 };

static struct serving server;
static struct authenticator *authenticator;
static struct conf *conf;
static struct arena *arena;
static Gsasl *sasl;
static char dir[] = "/tmp/auth-test-XXXXXX";
static char path[64];
static uint64_t last_conversation;

/* ---- the users' file ---- */

static void
hmac(const unsigned char key[32], const char *text, unsigned char out[32])
{
	unsigned n = 32;
	assert_non_null(HMAC(
		EVP_sha256(), key, 32, (const unsigned char *)text, strlen(text), out, &n));
}

static void
write_user(const char *name, const char *password, bool has_crypt, bool has_scram)
{
	static unsigned char salted[32], client_key[32], stored[32], server_key[32];
	struct passwd_entry e = {.name = slice_of(name),
		.has_scram = has_scram,
		.iterations = PASSWD_ITERATIONS_LEAST,
		.salt = SLICE("0123456789abcdef")};
	struct crypt_data *data = calloc(1, sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct err err;
	assert_non_null(data);
	assert_non_null(crypt_gensalt_rn("$y$", 1, NULL, 0, setting, sizeof(setting)));
	if (has_crypt)
		e.crypt = slice_of(crypt_r(password, setting, data));
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password),
				 (const unsigned char *)e.salt.p, (int)e.salt.n,
				 (int)e.iterations, EVP_sha256(), 32, salted),
		1);
	hmac(salted, "Client Key", client_key);
	assert_int_equal(EVP_Digest(client_key, 32, stored, NULL, EVP_sha256(), NULL), 1);
	hmac(salted, "Server Key", server_key);
	e.stored_key = (struct slice){(char *)stored, 32};
	e.server_key = (struct slice){(char *)server_key, 32};
	assert_int_equal(passwd_write(path, &e, &err), 0);
	free(data);
}

/* ---- one exchange ---- */

struct outcome {
	enum auth_outcome outcome;
	struct slice text; /* a challenge: decoded */
};

static struct outcome
step_of(uint64_t conversation, unsigned listener, const char *mechanism, bool first,
	const char *base64)
{
	struct auth_step s = {.conversation = conversation,
		.listener = listener,
		.first = first,
		.mechanism = slice_of(mechanism),
		.has_data = base64 != NULL,
		.data = slice_of(base64)};
	struct ipc_out out;
	struct slice payload;
	struct auth_result r;
	ipc_out_init(&out);
	auth_step_pack(&s, &out);
	assert_true(ipc_out_ok(&out, &payload));
	const struct serving_answer *a =
		serving_ask_and_wait(&server, AUTH_MSG_STEP, payload, -1);
	ipc_out_fini(&out);
	assert_false(a->lost);
	assert_int_equal(a->type, AUTH_MSG_RESULT);
	assert_true(auth_result_unpack(buf_slice(&a->payload), &r));
	struct outcome o = {r.outcome, arena_slice(arena, r.text)};
	if (r.outcome == AUTH_CHALLENGE)
		assert_true(base64_decode(r.text, arena, &o.text));
	serving_clear(&server);
	return o;
}

static const char *
base64_of(struct slice s)
{
	return arena_text(arena, base64_encode(s, arena));
}

/* ---- PLAIN and LOGIN, word by word ---- */

#define WORDS(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define NOTHING         \
	{               \
		NULL, 1 \
	} /* no initial response */

static const struct {
	const char *label, *mechanism;
	struct slice says[STEPS_MOST];
	size_t n;
	enum auth_outcome last;
	const char *name; /* that the last answer tells */
} exchanges[] = {
	{"plain", "PLAIN", {WORDS("\0alice\0secret")}, 1, AUTH_OK, "alice"},
	{"plain, asked for", "PLAIN", {NOTHING, WORDS("\0alice\0secret")}, 2, AUTH_OK, "alice"},
	{"login", "LOGIN", {NOTHING, WORDS("alice"), WORDS("secret")}, 3, AUTH_OK, "alice"},
	{"login, name at once", "LOGIN", {WORDS("alice"), WORDS("secret")}, 2, AUTH_OK,
		"alice"},
	{"as itself", "PLAIN", {WORDS("alice\0alice\0secret")}, 1, AUTH_OK, "alice"},
	{"as another", "PLAIN", {WORDS("bob\0alice\0secret")}, 1, AUTH_REFUSED, "alice"},
	{"wrong password", "PLAIN", {WORDS("\0alice\0Secret")}, 1, AUTH_REFUSED, "alice"},
	{"longer password", "PLAIN", {WORDS("\0alice\0secrets")}, 1, AUTH_REFUSED, "alice"},
	{"no password", "PLAIN", {WORDS("\0alice\0")}, 1, AUTH_REFUSED, NULL},
	{"unknown user", "PLAIN", {WORDS("\0nobody\0secret")}, 1, AUTH_REFUSED, "nobody"},
	{"case of the name", "PLAIN", {WORDS("\0Alice\0secret")}, 1, AUTH_REFUSED, "Alice"},
	{"no name", "PLAIN", {WORDS("\0\0secret")}, 1, AUTH_REFUSED, NULL},
	{"not three parts", "PLAIN", {WORDS("alice\0secret")}, 1, AUTH_REFUSED, NULL},
	{"nothing in it", "PLAIN", {WORDS("")}, 1, AUTH_CHALLENGE, NULL},
	{"other SASL form (RFC 4013)", "PLAIN", {WORDS("\0joe\0I\xc2\xadX")}, 1, AUTH_OK,
		"joe"},
	{"bytes that are no UTF-8", "PLAIN", {WORDS("\0alice\0\xff\xfe")}, 1, AUTH_REFUSED,
		NULL},
	{"no crypt for it", "PLAIN", {WORDS("\0scram\0secret")}, 1, AUTH_REFUSED, "scram"},
	{"login, wrong", "LOGIN", {NOTHING, WORDS("alice"), WORDS("x")}, 3, AUTH_REFUSED,
		"alice"},
	{"login, unknown", "LOGIN", {WORDS("nobody"), WORDS("secret")}, 2, AUTH_REFUSED,
		"nobody"},
	{"not offered", "CRAM-MD5", {NOTHING}, 1, AUTH_BROKEN, NULL},
	{"in lower case", "plain", {WORDS("\0alice\0secret")}, 1, AUTH_BROKEN, NULL},
};

static void
test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
		struct outcome o = {AUTH_BROKEN, SLICE_NONE};
		last_conversation++;
		for (size_t k = 0; k < exchanges[i].n; k++) {
			struct slice s = exchanges[i].says[k];
			o = step_of(last_conversation, 0, exchanges[i].mechanism, k == 0,
				s.p != NULL ? base64_of(s) : NULL);
			if (k + 1 < exchanges[i].n && o.outcome != AUTH_CHALLENGE)
				fail_msg(
					"%s: step %zu is %d", exchanges[i].label, k, o.outcome);
		}
		if (o.outcome != exchanges[i].last)
			fail_msg("%s: %d", exchanges[i].label, o.outcome);
		if (exchanges[i].name != NULL && !slice_eq(o.text, slice_of(exchanges[i].name)))
			fail_msg("%s: %.*s", exchanges[i].label, SLICE_ARG(o.text));
	}
}

/* What is no base64, what was cancelled, what is too long: refused, and then over. */
static void
test_noise(void **state)
{
	(void)state;
	static char long_words[AUTH_DATA_MOST + 5];
	memset(long_words, 'A', AUTH_DATA_MOST);
	static const char *const rows[] = {
		"*", "***", "=", "AGFs", "AGFsaWNlAHNlY3JldA", long_words};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		last_conversation++;
		assert_int_equal(step_of(last_conversation, 0, "PLAIN", true, NULL).outcome,
			AUTH_CHALLENGE);
		if (step_of(last_conversation, 0, "PLAIN", false, rows[i]).outcome !=
			AUTH_REFUSED)
			fail_msg("row %zu", i);
		assert_int_equal(step_of(last_conversation, 0, "PLAIN", false, rows[i]).outcome,
			AUTH_BROKEN);
	}
	/* a listener without accounts, and one that is not there */
	last_conversation++;
	assert_int_equal(
		step_of(last_conversation, 1, "PLAIN", true, NULL).outcome, AUTH_BROKEN);
	assert_int_equal(
		step_of(last_conversation, 9, "PLAIN", true, NULL).outcome, AUTH_BROKEN);
	/* a message that is none of ours is answered all the same */
	const struct serving_answer *a =
		serving_ask_and_wait(&server, AUTH_MSG_STEP, SLICE("noise"), -1);
	struct auth_result r;
	assert_true(!a->lost && auth_result_unpack(buf_slice(&a->payload), &r));
	assert_int_equal(r.outcome, AUTH_BROKEN);
	serving_clear(&server);
}

/* ---- SCRAM ---- */

static const struct {
	const char *label, *name, *password, *as;
	enum auth_outcome last;
} scrams[] = {
	{"right", "alice", "secret", NULL, AUTH_OK},
	{"without crypt", "scram", "secret", NULL, AUTH_OK},
	{"as itself", "alice", "secret", "alice", AUTH_OK},
	{"as another", "alice", "secret", "bob", AUTH_REFUSED},
	{"wrong", "alice", "Secret", NULL, AUTH_REFUSED},
	{"unknown", "nobody", "secret", NULL, AUTH_REFUSED},
	{"without SCRAM", "joe", "IX", NULL, AUTH_REFUSED},
};

/* The server's first words are noted: whether an account is there must not show in them. */
static enum auth_outcome
scram(size_t row, bool initial, struct slice *server_first_out)
{
	Gsasl_session *client;
	char *words = NULL;
	assert_int_equal(gsasl_client_start(sasl, "SCRAM-SHA-256", &client), GSASL_OK);
	gsasl_property_set(client, GSASL_AUTHID, scrams[row].name);
	gsasl_property_set(client, GSASL_PASSWORD, scrams[row].password);
	if (scrams[row].as != NULL)
		gsasl_property_set(client, GSASL_AUTHZID, scrams[row].as);
	last_conversation++;
	struct outcome o = {AUTH_CHALLENGE, SLICE_NONE};
	if (!initial) {
		o = step_of(last_conversation, 0, "SCRAM-SHA-256", true, NULL);
		assert_int_equal(o.outcome, AUTH_CHALLENGE);
	}
	*server_first_out = SLICE_NONE;
	for (int k = 0; k < STEPS_MOST && o.outcome == AUTH_CHALLENGE; k++) {
		int result = gsasl_step64(client, k == 0 ? "" : base64_of(o.text), &words);
		assert_true(result == GSASL_OK || result == GSASL_NEEDS_MORE);
		o = step_of(last_conversation, 0, "SCRAM-SHA-256", initial && k == 0, words);
		gsasl_free(words);
		if (k == 0)
			*server_first_out = o.text;
		if (o.outcome == AUTH_OK)
			assert_int_equal(
				result, GSASL_OK); /* the server has proved itself too */
	}
	gsasl_finish(client);
	if (o.outcome != AUTH_CHALLENGE)
		assert_true(slice_eq(o.text, slice_of(scrams[row].name)));
	return o.outcome;
}

static struct slice
salt_of(struct slice server_first)
{
	struct slice nonce, rest;
	assert_true(slice_starts(server_first, SLICE("r=")));
	assert_true(slice_cut(server_first, ',', &nonce, &rest));
	return rest; /* s=SALT,i=4096 */
}

static void
test_scram(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scrams) / sizeof(scrams[0]); i++) {
		struct slice one, two;
		if (scram(i, true, &one) != scrams[i].last ||
			scram(i, false, &two) != scrams[i].last)
			fail_msg("%s", scrams[i].label);
		if (scrams[i].as != NULL && scrams[i].last == AUTH_REFUSED)
			continue;
		assert_false(slice_eq(one, two));
		/* the same salt each time, of the same form, whoever is asked for */
		assert_true(slice_eq(salt_of(one), salt_of(two)));
		assert_true(slice_ends(one, SLICE(",i=4096")));
		assert_int_equal(salt_of(one).n, strlen("s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096"));
	}
}

/* ---- conversations ---- */

static void
test_drop(void **state)
{
	(void)state;
	struct auth_step s = {.conversation = ++last_conversation};
	struct ipc_out out;
	struct slice payload;
	assert_int_equal(
		step_of(last_conversation, 0, "PLAIN", true, NULL).outcome, AUTH_CHALLENGE);
	ipc_out_init(&out);
	auth_step_pack(&s, &out);
	assert_true(ipc_out_ok(&out, &payload));
	assert_int_equal(peer_tell(server.peer, AUTH_MSG_DROP, 0, payload), 0);
	ipc_out_fini(&out);
	assert_int_equal(step_of(last_conversation, 0, "PLAIN", false,
				 base64_of((struct slice){"\0alice\0secret", 13}))
				 .outcome,
		AUTH_BROKEN);
	/* begun anew under its number: what was said before is forgotten */
	assert_int_equal(
		step_of(last_conversation, 0, "LOGIN", true, NULL).outcome, AUTH_CHALLENGE);
	assert_int_equal(step_of(last_conversation, 0, "PLAIN", true,
				 base64_of((struct slice){"\0alice\0secret", 13}))
				 .outcome,
		AUTH_OK);
}

/* One conversation too many ends the oldest one, and no other. */
static void
test_too_many(void **state)
{
	(void)state;
	const char *good = base64_of((struct slice){"\0alice\0secret", 13});
	uint64_t first = last_conversation + 1;
	for (unsigned i = 0; i <= CONVERSATIONS_MOST; i++) {
		assert_int_equal(step_of(++last_conversation, 0, "PLAIN", true, NULL).outcome,
			AUTH_CHALLENGE);
		arena_reset(arena);
	}
	good = base64_of((struct slice){"\0alice\0secret", 13});
	assert_int_equal(step_of(first, 0, "PLAIN", false, good).outcome, AUTH_BROKEN);
	assert_int_equal(step_of(first + 1, 0, "PLAIN", false, good).outcome, AUTH_OK);
	assert_int_equal(step_of(last_conversation, 0, "PLAIN", false, good).outcome, AUTH_OK);
}

/* ---- messages ---- */

static void
test_messages(void **state)
{
	(void)state;
	struct auth_step s = {7, 3, true, SLICE("PLAIN"), true, SLICE("AAAA")}, s2;
	struct auth_result r = {AUTH_REFUSED, SLICE("alice")}, r2;
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	auth_step_pack(&s, &out);
	assert_true(ipc_out_ok(&out, &payload) && auth_step_unpack(payload, &s2));
	assert_true(s2.conversation == 7 && s2.listener == 3 && s2.first && s2.has_data &&
		    slice_eq(s2.mechanism, s.mechanism) && slice_eq(s2.data, s.data));
	for (size_t cut = 0; cut < payload.n; cut++)
		assert_false(auth_step_unpack(slice_first(payload, cut), &s2));
	ipc_out_fini(&out);
	ipc_out_init(&out);
	auth_result_pack(&r, &out);
	assert_true(ipc_out_ok(&out, &payload) && auth_result_unpack(payload, &r2));
	assert_true(r2.outcome == AUTH_REFUSED && slice_eq(r2.text, r.text));
	for (size_t cut = 0; cut < payload.n; cut++)
		assert_false(auth_result_unpack(slice_first(payload, cut), &r2));
	ipc_out_fini(&out);
}

static int
serve(void *arg)
{
	return authenticator_main(authenticator, *(const int *)arg);
}

static int
open_server(void **state)
{
	static int control;
	struct err err;
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/users", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	arena = arena_new(16 << 20);
	write_user("alice", "secret", true, true);
	write_user("scram", "secret", false, true);
	write_user("joe", "IX", true, false);
	conf = conf_text(arena_text(
		arena, arena_printf(arena,
			       "hostname \"mx.example.com\"\nsend direct\n"
			       "listen outbound on \"127.0.0.1:2587\" tls required certificate "
			       "\"%1$s/tests/conf/mx.pem\" key \"%1$s/tests/conf/mx.key\" auth "
			       "\"%2$s\"\n"
			       "listen outbound on \"127.0.0.1:2588\" from { 127.0.0.0/8 }\n"
			       "outbound {\naccept\n}\n",
			       getenv("POSTERN_SOURCE"), path)));
	authenticator = authenticator_new(conf, &err);
	if (authenticator == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(gsasl_init(&sasl), GSASL_OK);
	control = serving_prepare(&server);
	struct child_spec spec = {.kind = "auth", .run = serve, .arg = &control};
	serving_start(&server, &spec, control);
	return 0;
}

static int
close_server(void **state)
{
	(void)state;
	serving_stop(&server);
	gsasl_done(sasl);
	conf_free(&conf);
	arena_free(&arena);
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_scram),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, open_server, close_server);
}
