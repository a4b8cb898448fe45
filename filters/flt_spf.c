/*
 * SPF of the mail's reverse-path, or of the HELO name where that is <> (RFC 7208 2.3, 2.4;
 * HDR-06). The engine is run anew as answers come in; what it needs in between lives in an
 * arena of its own.
 */
#include "filters/engine_spf2.h"
#include "filters/filter.h"

enum { SCRATCH_MOST = 64 * 1024 * 1024, ROOM_LEAST = 2 * 1024 * 1024 };

static const char *const words[] = {
	"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", NULL};

static const struct fact_decl facts[] = {
	{.name = "spf",
		.type = FACT_WORD,
		.words = words,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_CHEAP,
		.text = "What SPF says of the client sending for the reverse-path's domain, or "
			"for the "
			"HELO name if that is <>."},
	{.name = "spf.domain",
		.type = FACT_DOMAIN,
		.scope = SCOPE_MAIL,
		.stage = STAGE_MAIL,
		.cost = COST_FREE,
		.text = "The domain that SPF is asked about."},
	{.name = NULL},
};
enum { SPF, SPF_DOMAIN };

static const struct dns_answer *
ask(void *arg, struct slice name, enum dns_type type)
{
	return flt_dns(arg, name, type);
}

static struct slice
identity_domain(const struct flt_call *c)
{
	return c->mail->sender.is_null ? c->session->helo : c->mail->sender.domain;
}

static struct slice
evidence_of(const struct flt_call *c, const struct spf_verdict *verdict)
{
	struct slice domain = identity_domain(c);
	const char *identity = c->mail->sender.is_null ? "helo" : "mailfrom";
	struct slice why = verdict->problem.n != 0 ? verdict->problem : verdict->mechanism;
	struct slice told = verdict->explanation;
	return arena_printf(c->arena, "%s=%.*s %.*s%s%.*s%s", identity, SLICE_ARG(domain),
		SLICE_ARG(why), told.n != 0 ? " (" : "", SLICE_ARG(told),
		told.n != 0 ? ")" : "");
}

static bool
run_ours(struct flt_call *c, struct arena *scratch, struct spf_verdict *verdict)
{
	struct spf_request r = {
		.client = c->session->client,
		.helo = c->session->helo,
		.sender_local = c->mail->sender.local,
		.sender_domain = identity_domain(c),
		.hostname = c->conf->hostname,
		.now_s = c->session->wall_ms / 1000,
		.dns = ask,
		.arg = c,
	};
	return spf_check(&r, scratch, verdict);
}

/* What libspf2 has wanted to know so far, kept with the mail. */
struct second {
	struct engine_spf2_answer wanted[ENGINE_SPF2_ANSWERS_MOST];
	size_t n;
};

static struct second *
second_of(struct flt_call *c)
{
	if (*c->state == NULL)
		*c->state = ARENA_NEW(c->arena, struct second);
	return *c->state;
}

/* The answers to all that is wanted; false: some are open. */
static bool
second_answers(struct flt_call *c, struct second *s)
{
	bool open = false;
	for (size_t i = 0; i < s->n; i++) {
		const struct dns_answer *answer =
			flt_dns(c, s->wanted[i].name, s->wanted[i].type);
		if (answer == NULL)
			open = true;
		else
			s->wanted[i].answer = *answer;
	}
	return !open;
}

static bool
second_failed(struct spf_verdict *verdict, const char *why)
{
	*verdict = (struct spf_verdict){.result = SPFR_TEMPERROR, .problem = slice_of(why)};
	return true;
}

/* Takes up what the engine wants to know; false: more than anything sane does. */
static bool
second_wants(struct flt_call *c, struct second *s, const struct engine_spf2_reply *reply)
{
	if (s->n + reply->n_wanted > ENGINE_SPF2_ANSWERS_MOST)
		return false;
	for (size_t i = 0; i < reply->n_wanted; i++) {
		s->wanted[s->n].type = reply->wanted[i].type;
		s->wanted[s->n++].name = arena_slice(c->arena, reply->wanted[i].name);
	}
	return true;
}

/* libspf2, in its own process: asked with what is known, again with what it wants, until it has
 * it. */
static bool
run_second(struct flt_call *c, struct arena *scratch, struct spf_verdict *verdict)
{
	struct second *s = second_of(c);
	while (second_answers(c, s)) {
		struct engine_spf2_request r = {
			.client = c->session->client,
			.helo = c->session->helo,
			.sender = c->mail->sender.text,
			.hostname = c->conf->hostname,
			.answers = s->wanted,
			.n_answers = s->n,
		};
		struct engine_spf2_reply reply;
		struct slice input = engine_spf2_pack_request(&r, scratch);
		if (c->session->client.family == 0 || input.n == 0 ||
			arena_room(c->arena) < ROOM_LEAST)
			return second_failed(verdict, "libspf2 cannot be asked this");
		const struct question *one = flt_engine(c, SLICE(ENGINE_SPF2_NAME), input);
		if (one == NULL)
			return false;
		if (!engine_spf2_unpack_reply(one->output, scratch, &reply) ||
			(!reply.done && !second_wants(c, s, &reply)))
			return second_failed(verdict, "libspf2 failed");
		if (reply.done) {
			*verdict = (struct spf_verdict){
				.result = reply.result, .explanation = reply.explanation};
			return true;
		}
	}
	return false;
}

/* `engine`: theirs alone. `compare`: both; ours decides, a difference is one line in the log.
 */
static bool
run(struct flt_call *c, struct arena *scratch, struct value *v, enum spf_result *result_out)
{
	struct spf_verdict ours, theirs;
	bool second = c->settings != NULL && c->settings->engine.n != 0;
	bool compare = c->settings != NULL && c->settings->compare.n != 0;
	bool done = second || run_ours(c, scratch, &ours);
	if ((second || compare) && !run_second(c, scratch, &theirs))
		done = false;
	if (!done)
		return false;
	*result_out = second ? theirs.result : ours.result;
	v->evidence = evidence_of(c, second ? &theirs : &ours);
	if (!compare || theirs.result == ours.result)
		return true;
	v->evidence = arena_printf(c->arena, "%.*s; libspf2 says %s", SLICE_ARG(v->evidence),
		spf_result_text(theirs.result));
	if (theirs.problem.n == 0) /* a process that failed has had its line */
		flt_differs(c, "spf", identity_domain(c),
			slice_of(spf_result_text(ours.result)),
			slice_of(spf_result_text(theirs.result)));
	return true;
}

static enum fact_state
gather(struct flt_call *c, const struct fact_ref *ref, struct value *v)
{
	if (ref->decl - facts == SPF_DOMAIN)
		return flt_text(v, arena_lower(c->arena, identity_domain(c)));
	struct arena *scratch = arena_new(SCRATCH_MOST);
	enum spf_result result = SPFR_NONE;
	bool done = run(c, scratch, v, &result);
	arena_free(&scratch);
	return done ? flt_text(v, slice_of(spf_result_text(result))) : FACT_OPEN;
}

const struct filter flt_spf = {.name = "spf", .facts = facts, .gather = gather};
