/*
 * Whether the way out is good: what single attempts have shown is kept for the last so many
 * destinations, and a rule asks for several that have nothing in common. Nothing in common is
 * the heart of it: not the organisation's name, not the MX hosts, not the machine that has
 * answered there so far (the customers of a provider have names and MX sets of their own, and
 * one machine). README.md has the rules with their reasons.
 */
#include "base/mem.h"
#include "queue/egress_priv.h"

const char *
egress_state_text(enum egress_state s)
{
	static const char *const texts[EGRESS_STATES] = {
		"open", "blocked", "intercepted", "listed"};
	return texts[s];
}

/* --- unrelated destinations */

static bool
related(const struct seen *a, const struct seen *b)
{
	return a->org == b->org || (a->mx_set != 0 && a->mx_set == b->mx_set) ||
	       (a->owner != 0 && a->owner == b->owner) ||
	       (a->banners[0].hash != 0 && a->banners[0].hash == b->banners[0].hash) ||
	       (a->certificates[0].hash != 0 &&
		       a->certificates[0].hash == b->certificates[0].hash);
}

void
group_find(const struct egress *e, sign_fn *sign, uint64_t now_ms, struct group *g)
{
	*g = (struct group){.n = 0};
	for (size_t i = 0; i < SITES && g->n < GROUP_MOST; i++) {
		const struct seen *x = &e->sites[i];
		bool alone = x->domain != 0 && sign(e, x, now_ms);
		for (size_t j = 0; alone && j < g->n; j++)
			alone = !related(x, g->at[j]);
		if (!alone)
			continue;
		g->at[g->n++] = x;
		g->known += x->reached_ms != 0;
	}
}

/* --- the signs */

/* Only what failed after the last greeting of anybody: one that comes shows the way open. */
static bool
sign_unreachable(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	return within(x->unreachable_ms, now_ms, BLOCKED_MS) &&
	       x->unreachable_ms > e->reached_ms;
}

static bool
sign_listed(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	(void)e;
	return within(x->listed_ms, now_ms, LISTED_MS);
}

static bool
sign_no_starttls(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	return within(x->gone_ms, now_ms, INTERCEPTED_MS) && x->gone_ms > e->starttls_ms;
}

/* Another machine answers here than did before, and it has come lately. */
static bool
turned(const struct face faces[FACES], uint64_t hash, uint64_t now_ms)
{
	return hash != 0 && faces[0].hash != hash &&
	       within(face_since(faces, hash), now_ms, INTERCEPTED_MS);
}

static bool
sign_banner_turned(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	return x->banner == e->bad_banner && turned(x->banners, x->banner, now_ms);
}

static bool
sign_certificate_turned(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	return x->certificate == e->bad_certificate &&
	       turned(x->certificates, x->certificate, now_ms);
}

/* By nature: of related() their common face would make them one, so operators are counted. */
static size_t
owners_behind(const struct egress *e, uint64_t banner, uint64_t certificate)
{
	uint64_t found = 0;
	for (size_t i = 0; i < SITES; i++) {
		const struct seen *x = &e->sites[i];
		bool it = (banner != 0 && x->banner == banner) ||
			  (certificate != 0 && x->certificate == certificate);
		if (x->domain != 0 && x->owner != 0 && it)
			found |= UINT64_C(1) << x->owner;
	}
	return (size_t)__builtin_popcountll(found);
}

/* A machine that was known somewhere for long is a provider that others may move to. */
static bool
known_for_long(const struct egress *e, uint64_t banner, uint64_t certificate, uint64_t now_ms)
{
	for (size_t i = 0; i < SITES; i++) {
		const struct seen *x = &e->sites[i];
		uint64_t b = banner != 0 ? face_since(x->banners, banner) : 0;
		uint64_t c = certificate != 0 ? face_since(x->certificates, certificate) : 0;
		if ((b != 0 && !within(b, now_ms, INTERCEPTED_MS)) ||
			(c != 0 && !within(c, now_ms, INTERCEPTED_MS)))
			return true;
	}
	return false;
}

/* --- the rules */

static bool
rule_blocked(const struct egress *e, uint64_t now_ms)
{
	struct group g;
	group_find(e, sign_unreachable, now_ms, &g);
	return g.n >= GROUP_MOST ||
	       (g.n >= BLOCKED_SITES && (e->reached_ms == 0 || g.known >= BLOCKED_KNOWN));
}

static bool
rule_listed(const struct egress *e, uint64_t now_ms)
{
	struct group g;
	group_find(e, sign_listed, now_ms, &g);
	return g.n >= LISTED_SITES;
}

static bool
rule_face(struct egress *e, uint64_t banner, uint64_t certificate, uint64_t now_ms)
{
	if (banner == 0 && certificate == 0)
		return false;
	struct group g;
	uint64_t bad_banner = e->bad_banner, bad_certificate = e->bad_certificate;
	e->bad_banner = banner;
	e->bad_certificate = certificate;
	group_find(e, banner != 0 ? sign_banner_turned : sign_certificate_turned, now_ms, &g);
	if (owners_behind(e, banner, certificate) >= INTERCEPTED_SITES ||
		(g.n >= INTERCEPTED_SITES && !known_for_long(e, banner, certificate, now_ms)))
		return true;
	e->bad_banner = bad_banner;
	e->bad_certificate = bad_certificate;
	return false;
}

static bool
rule_intercepted(struct egress *e, const struct seen *x, uint64_t now_ms)
{
	if (rule_face(e, x->banner, 0, now_ms) || rule_face(e, 0, x->certificate, now_ms))
		return true;
	struct group g;
	group_find(e, sign_no_starttls, now_ms, &g);
	if (g.n < INTERCEPTED_SITES)
		return false;
	e->bad_banner = e->bad_certificate = 0;
	return true;
}

/* Which state this evidence, with all before it, speaks for. */
static enum egress_state
judge(struct egress *e, const struct seen *x, const struct egress_evidence *v, uint64_t now_ms)
{
	if (!v->reached)
		return rule_blocked(e, now_ms) ? EGRESS_BLOCKED : EGRESS_OPEN;
	if (e->state != EGRESS_INTERCEPTED && rule_intercepted(e, x, now_ms))
		return EGRESS_INTERCEPTED;
	if (v->listed && e->state != EGRESS_INTERCEPTED && rule_listed(e, now_ms))
		return EGRESS_LISTED;
	return EGRESS_OPEN;
}

/* --- back again */

bool
sign_passed(const struct egress *e, const struct seen *x, uint64_t now_ms)
{
	(void)now_ms;
	return x->passed_ms != 0 && x->passed_ms >= e->since_ms;
}

static bool
passes(const struct egress *e, const struct seen *x, const struct egress_evidence *v,
	bool was_listed, uint64_t now_ms)
{
	if (!v->reached)
		return false;
	switch (e->state) {
	case EGRESS_BLOCKED: return true;
	case EGRESS_INTERCEPTED:
		if (x->banner == 0 || x->gone_ms != 0)
			return false;
		if (e->bad_banner != 0)
			return x->banner != e->bad_banner;
		if (e->bad_certificate != 0)
			return x->certificate != 0 && x->certificate != e->bad_certificate;
		return v->starttls;
	case EGRESS_LISTED: {
		/* Who has never asked that list proves nothing while others still refuse. */
		struct group g;
		group_find(e, sign_listed, now_ms, &g);
		return !v->listed && (was_listed || g.n == 0);
	}
	case EGRESS_OPEN:
	case EGRESS_STATES: break;
	}
	return false;
}

static void
passes_forget(struct egress *e)
{
	for (size_t i = 0; i < SITES; i++)
		e->sites[i].passed_ms = 0;
}

static void
enter(struct egress *e, enum egress_state state, uint64_t now_ms)
{
	passes_forget(e);
	e->state = state;
	e->since_ms = now_ms;
	e->retest_wait_ms = RETEST_MS;
	e->retest_ms = now_ms + RETEST_MS;
	if (state != EGRESS_OPEN)
		return;
	/* What led there is over, and must not lead there again at once. */
	for (size_t i = 0; i < SITES; i++) {
		struct seen *x = &e->sites[i];
		x->unreachable_ms = x->listed_ms = x->gone_ms = 0;
		if (e->bad_banner != 0 && x->banners[0].hash == e->bad_banner)
			x->greeting_first[0] = '\0';
		face_forget(x->banners, e->bad_banner);
		face_forget(x->certificates, e->bad_certificate);
	}
	e->bad_banner = e->bad_certificate = 0;
}

/* True: the way is open again. */
static bool
reopens(struct egress *e, struct seen *x, const struct egress_evidence *v, bool was_listed,
	uint64_t now_ms)
{
	if (!passes(e, x, v, was_listed, now_ms)) {
		/* A destination that is down, or that proves nothing, takes nothing back. */
		if (v->listed || (e->state == EGRESS_INTERCEPTED && v->reached))
			passes_forget(e);
		return false;
	}
	x->passed_ms = now_ms;
	e->retest_wait_ms = RETEST_MS;
	e->retest_ms = now_ms; /* another mail may confirm it at once */
	struct group g;
	group_find(e, sign_passed, now_ms, &g);
	return g.n >= OPEN_SITES;
}

/* --- the interface */

struct egress *
egress_new(void)
{
	return MEM_NEW(struct egress);
}

void
egress_free(struct egress **e)
{
	mem_free(*e);
	*e = NULL;
}

enum egress_state
egress_state(const struct egress *e)
{
	return e->state;
}

bool
egress_note(struct egress *e, const struct egress_evidence *v, uint64_t now_ms)
{
	struct egress_evidence w = *v;
	w.reached |= w.listed; /* who refuses our address has spoken */
	if (!w.reached && !w.unreachable)
		return false; /* the DNS, or nothing was tried: says nothing of the way */
	now_ms++;
	struct seen *x = seen_get(e, &w);
	bool was_listed = x->listed_ms != 0;
	seen_note(e, x, &w, now_ms);
	enum egress_state is = judge(e, x, &w, now_ms);
	if (is != EGRESS_OPEN && is != e->state) {
		enter(e, is, now_ms);
		return true;
	}
	if (e->state == EGRESS_OPEN || !reopens(e, x, &w, was_listed, now_ms))
		return false;
	enter(e, EGRESS_OPEN, now_ms);
	return true;
}

bool
egress_retest(struct egress *e, uint64_t now_ms)
{
	now_ms++;
	if (e->state == EGRESS_OPEN || now_ms < e->retest_ms)
		return false;
	e->retest_ms = now_ms + e->retest_wait_ms;
	e->retest_wait_ms *= 2;
	if (e->retest_wait_ms > RETEST_MOST_MS)
		e->retest_wait_ms = RETEST_MOST_MS;
	return true;
}
