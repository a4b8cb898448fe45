/*
 * Passwords, checked; see authenticator.h. An account that is not there is answered in the same
 * way and time as one with a wrong password: with a hash and with SCRAM keys that are nobody's.
 */
#include "session/authenticator.h"

#include <crypt.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "conf/passwd.h"
#include "io/control.h"
#include "io/sandbox.h"

enum {
	CONVERSATIONS_MOST = 1024,
	CONVERSATION_MS = 5 * 60 * 1000,
	USERS_ARENA_MOST = 256 * 1024 * 1024
};

struct users {
	const char *path; /* NULL: this listener has no AUTH */
	struct arena *arena;
	struct map *map;
};

struct conversation {
	TAILQ_ENTRY(conversation) link; /* oldest first */
	struct authenticator *authenticator;
	struct service_client *client;
	uint64_t number;
	uint64_t began_ms;
	struct users *users;
	Gsasl_session *sasl;
	bool is_done; /* all is good; the last challenge is out, its answer is due */
	char name[PASSWD_NAME_MOST + 1];
};

struct authenticator {
	struct loop *loop;
	struct service *service;
	Gsasl *sasl;
	struct users *users;
	size_t n_users;
	char nobody[CRYPT_OUTPUT_SIZE]; /* a hash of the costs of ours, of no password */
	unsigned char secret[32];       /* makes the salts of accounts that are not there */
	TAILQ_HEAD(, conversation) conversations;
	size_t n_conversations;
};

static int
users_read(struct users *u, struct err *err)
{
	u->arena = arena_new(USERS_ARENA_MOST);
	return passwd_read(u->path, u->arena, &u->map, err);
}

static const struct passwd_entry *
users_find(const struct users *u, const char *name)
{
	return name != NULL ? map_get(u->map, slice_of(name)) : NULL;
}

/* crypt(3), in a time that does not tell whether the account is there. */
static bool
password_is_good(struct authenticator *a, const struct passwd_entry *e, const char *password)
{
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	char hash[CRYPT_OUTPUT_SIZE];
	bool there = e != NULL && e->crypt.n != 0 && e->crypt.n < sizeof(hash);
	char *prepared = NULL;
	memset(hash, 0, sizeof(hash));
	if (there)
		memcpy(hash, e->crypt.p, e->crypt.n);
	else
		memcpy(hash, a->nobody, sizeof(hash));
	bool good = gsasl_saslprep(password, 0, &prepared, NULL) == GSASL_OK &&
		    strlen(prepared) <= PASSWD_PASSWORD_MOST;
	const char *made = good ? crypt_r(prepared, hash, data) : NULL;
	good = made != NULL && strlen(made) == strlen(hash) &&
	       CRYPTO_memcmp(made, hash, strlen(hash)) == 0 && there;
	if (prepared != NULL)
		mem_wipe(prepared, strlen(prepared));
	gsasl_free(prepared);
	mem_wipe(data, sizeof(*data));
	mem_free(data);
	return good;
}

static int
set_base64(Gsasl_session *s, Gsasl_property p, struct slice bytes)
{
	struct arena *a = arena_new(4096);
	struct slice text = base64_encode(bytes, a);
	int result = gsasl_property_set(s, p, arena_text(a, text));
	arena_free(&a);
	return result;
}

/* The SCRAM values of an account, or for one that is not there values that are its own for
 * ever. */
static int
set_scram(struct authenticator *a, Gsasl_session *s, Gsasl_property p,
	const struct passwd_entry *e, const char *name)
{
	unsigned char made[32];
	unsigned length = sizeof(made);
	char number[16];
	bool there = e != NULL && e->has_scram;
	must(HMAC(EVP_sha256(), a->secret, sizeof(a->secret), (const unsigned char *)name,
		     strlen(name), made, &length) != NULL);
	struct slice nobody = {(const char *)made, sizeof(made)};
	if (p == GSASL_SCRAM_ITER) {
		snprintf(number, sizeof(number), "%u",
			there ? e->iterations : PASSWD_ITERATIONS_LEAST);
		return gsasl_property_set(s, p, number);
	}
	if (p == GSASL_SCRAM_SALT)
		return set_base64(s, p, there ? e->salt : slice_first(nobody, 16));
	if (p == GSASL_SCRAM_STOREDKEY)
		return set_base64(s, p, there ? e->stored_key : nobody);
	return set_base64(s, p, there ? e->server_key : nobody);
}

static void
keep_name(struct conversation *c, const char *name)
{
	snprintf(c->name, sizeof(c->name), "%.*s", PASSWD_NAME_MOST, name);
}

/* Acting as another account (an authorization identity) is not there. */
static bool
acts_as_itself(Gsasl_session *s, const char *name)
{
	const char *as = gsasl_property_fast(s, GSASL_AUTHZID);
	return as == NULL || as[0] == '\0' || strcmp(as, name) == 0;
}

static int
on_sasl(Gsasl *ctx, Gsasl_session *s, Gsasl_property p)
{
	struct conversation *c = gsasl_session_hook_get(s);
	const char *name = gsasl_property_fast(s, GSASL_AUTHID);
	(void)ctx;
	if (name == NULL || strlen(name) > PASSWD_NAME_MOST)
		return GSASL_AUTHENTICATION_ERROR;
	keep_name(c, name);
	if (!acts_as_itself(s, name))
		return GSASL_AUTHENTICATION_ERROR;
	const struct passwd_entry *e = users_find(c->users, name);
	if (p == GSASL_SCRAM_ITER || p == GSASL_SCRAM_SALT || p == GSASL_SCRAM_STOREDKEY ||
		p == GSASL_SCRAM_SERVERKEY)
		return set_scram(c->authenticator, s, p, e, name);
	if (p != GSASL_VALIDATE_SIMPLE)
		return GSASL_NO_CALLBACK;
	const char *password = gsasl_property_fast(s, GSASL_PASSWORD);
	return password != NULL && password_is_good(c->authenticator, e, password)
		       ? GSASL_OK
		       : GSASL_AUTHENTICATION_ERROR;
}

static void
conversation_free(struct conversation *c)
{
	TAILQ_REMOVE(&c->authenticator->conversations, c, link);
	c->authenticator->n_conversations--;
	if (c->sasl != NULL)
		gsasl_finish(c->sasl);
	mem_free(c);
}

static struct conversation *
conversation_find(struct authenticator *a, const struct service_client *client, uint64_t number)
{
	struct conversation *c;
	TAILQ_FOREACH (c, &a->conversations, link)
		if (c->client == client && c->number == number)
			return c;
	return NULL;
}

/* One more; those that are over their time, or the oldest where there are too many, go. */
static struct conversation *
conversation_new(
	struct authenticator *a, struct service_client *client, const struct auth_step *s)
{
	static const char *const offered[] = {"PLAIN", "LOGIN", "SCRAM-SHA-256"};
	struct conversation *old;
	while ((old = TAILQ_FIRST(&a->conversations)) != NULL &&
		(a->n_conversations >= CONVERSATIONS_MOST ||
			loop_now(a->loop) - old->began_ms > CONVERSATION_MS))
		conversation_free(old);
	if (s->listener >= a->n_users || a->users[s->listener].path == NULL)
		return NULL;
	struct conversation *c = MEM_NEW(struct conversation);
	*c = (struct conversation){.authenticator = a,
		.client = client,
		.number = s->conversation,
		.began_ms = loop_now(a->loop),
		.users = &a->users[s->listener]};
	TAILQ_INSERT_TAIL(&a->conversations, c, link);
	a->n_conversations++;
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++)
		if (slice_eq(s->mechanism, slice_of(offered[i])) &&
			gsasl_server_start(a->sasl, offered[i], &c->sasl) == GSASL_OK) {
			gsasl_session_hook_set(c->sasl, c);
			return c;
		}
	conversation_free(c);
	return NULL;
}

/*
 * AUTH LOGIN with the name at once, as Outlook sends it: the question for the name is passed
 * over. A final word of the server goes out as a challenge whose answer is empty (RFC 4954 4).
 */
static enum auth_outcome
step(struct conversation *c, const struct auth_step *s, struct arena *a, struct slice *text_out)
{
	char *out = NULL;
	if (c->is_done)
		return s->data.n == 0 ? AUTH_OK : AUTH_REFUSED;
	if (s->first && s->has_data && slice_eq(s->mechanism, SLICE("LOGIN"))) {
		if (gsasl_step64(c->sasl, "", &out) != GSASL_NEEDS_MORE)
			return AUTH_REFUSED;
		gsasl_free(out);
		out = NULL;
	}
	int result = gsasl_step64(c->sasl, arena_text(a, s->data), &out);
	*text_out = arena_slice(a, slice_of(out));
	gsasl_free(out);
	if (result == GSASL_NEEDS_MORE)
		return AUTH_CHALLENGE;
	if (result != GSASL_OK)
		return AUTH_REFUSED;
	if (text_out->n == 0)
		return AUTH_OK;
	c->is_done = true;
	return AUTH_CHALLENGE;
}

static void
answer(struct service_client *to, uint32_t id, const struct auth_result *r)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	auth_result_pack(r, &out);
	if (ipc_out_ok(&out, &payload))
		(void)service_answer(
			to, AUTH_MSG_RESULT, id, payload); /* full: its time will be over */
	ipc_out_fini(&out);
}

static void
on_message(void *arg, struct service_client *from, struct ipc_msg *m)
{
	struct authenticator *a = arg;
	struct auth_step s;
	struct auth_result r = {.outcome = AUTH_BROKEN};
	struct arena *arena = arena_new(256 * 1024);
	if (!auth_step_unpack(m->payload, &s)) {
		answer(from, m->id, &r);
		arena_free(&arena);
		return;
	}
	struct conversation *c = conversation_find(a, from, s.conversation);
	if (c != NULL && (m->type == AUTH_MSG_DROP || s.first)) {
		conversation_free(c);
		c = NULL;
	}
	if (m->type == AUTH_MSG_STEP) {
		if (s.first)
			c = conversation_new(a, from, &s);
		if (c != NULL)
			r.outcome = step(c, &s, arena, &r.text);
		if (c != NULL && r.outcome != AUTH_CHALLENGE) {
			r.text = arena_slice(arena, slice_of(c->name));
			conversation_free(c);
		}
		answer(from, m->id, &r);
	}
	arena_free(&arena);
}

static void
on_client_gone(void *arg, struct service_client *client)
{
	struct authenticator *a = arg;
	struct conversation *c, *next;
	for (c = TAILQ_FIRST(&a->conversations); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->client == client)
			conversation_free(c);
	}
}

static void
authenticator_free(struct authenticator **a)
{
	if (*a == NULL)
		return;
	service_free(&(*a)->service); /* its clients' conversations go with it */
	for (size_t i = 0; i < (*a)->n_users; i++)
		arena_free(&(*a)->users[i].arena);
	if ((*a)->sasl != NULL)
		gsasl_done((*a)->sasl);
	loop_free(&(*a)->loop);
	mem_free((*a)->users);
	mem_wipe(*a, sizeof(**a));
	mem_free(*a);
	*a = NULL;
}

static int
make_nobody(struct authenticator *a, struct err *err)
{
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *made = NULL;
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) != NULL)
		made = crypt_r("", setting, data);
	if (made != NULL && made[0] != '*')
		snprintf(a->nobody, sizeof(a->nobody), "%s", made);
	mem_free(data);
	must(getrandom(a->secret, sizeof(a->secret), 0) == (ssize_t)sizeof(a->secret));
	return a->nobody[0] != '\0' ? 0
				    : err_set(err, "crypt(3) of this system has no yescrypt");
}

struct authenticator *
authenticator_new(const struct conf *conf, struct err *err)
{
	struct authenticator *a = MEM_NEW(struct authenticator);
	TAILQ_INIT(&a->conversations);
	a->users = mem_array(conf->n_listeners, sizeof(*a->users));
	a->n_users = conf->n_listeners;
	int result = make_nobody(a, err);
	if (result == 0 && gsasl_init(&a->sasl) != GSASL_OK)
		result = err_set(err, "GNU SASL does not start");
	if (result == 0)
		gsasl_callback_set(a->sasl, on_sasl);
	for (size_t i = 0; result == 0 && i < conf->n_listeners; i++) {
		if (conf->listeners[i].auth_file.n == 0)
			continue;
		a->users[i].path = arena_text(conf->arena, conf->listeners[i].auth_file);
		result = users_read(&a->users[i], err);
	}
	if (result < 0)
		authenticator_free(&a);
	return a;
}

static int
open_service(struct authenticator *a, int control_fd, struct err *err)
{
	struct sandbox_spec spec;
	a->loop = loop_new(err);
	if (a->loop == NULL)
		return -1;
	a->service = service_new(a->loop, control_fd, on_message, on_client_gone, a);
	sandbox_spec_of(SANDBOX_AUTH, &spec);
	return sandbox_lock(&spec, err);
}

int
authenticator_main(struct authenticator *a, int control_fd)
{
	struct err err;
	int result = open_service(a, control_fd, &err);
	if (result == 0) {
		service_ready(a->service);
		result = loop_run(a->loop, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	authenticator_free(&a);
	return result < 0 ? 1 : 0;
}
