/*
 * Whether the way out is good: what single attempts have shown is kept for the last so many
 * destinations, and a rule asks for several that have nothing in common. Nothing in common is
 * the heart of it: not the organisation's name, not the MX hosts, not the machine that has
 * answered there so far (the customers of a provider have names and MX sets of their own, and
 * one machine). README.md has the rules with their reasons.
 */
#include "queue/egress.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	SITES = 256, /* destinations that are remembered; the longest unheard goes */
	NAME = 64,   /* bytes of names and banners for people */
	FACES = 3,   /* machines known at one destination; the first is what it was */
	BLOCKED_SITES = 5,
	BLOCKED_KNOWN = 3, /* of them had been reached before, else twice as many are asked */
	LISTED_SITES = 3,
	INTERCEPTED_SITES = 3,
	OPEN_SITES = 2,
	MINUTE = 60 * 1000,
	HOUR = 60 * MINUTE,
	BLOCKED_MS = 10 * MINUTE,
	LISTED_MS = HOUR,
	INTERCEPTED_MS = HOUR,
	RETEST_MS = 5 * MINUTE,
	RETEST_MOST_MS = HOUR
};

/* Times are those told plus one: 0 is never. */
struct face { /* a machine as its banner names it, or its certificate */
	uint64_t hash, first_ms;
};

struct seen {
	uint64_t domain, org; /* hashes; 0: free */
	uint64_t mx_set;
	uint64_t last_ms, reached_ms, unreachable_ms, listed_ms, gone_ms, passed_ms;
	struct face banners[FACES], certificates[FACES];
	uint64_t banner, certificate; /* the last */
	bool had_starttls;
	unsigned owner; /* who by nature has machines of its own; 0: not known */
	char name[NAME], greeting[NAME], greeting_first[NAME];
};

struct egress {
	enum egress_state state;
	uint64_t since_ms;    /* of the state */
	uint64_t reached_ms;  /* the last greeting of anybody */
	uint64_t starttls_ms; /* the last time that STARTTLS was on offer anywhere */
	uint64_t retest_ms, retest_wait_ms;
	uint64_t bad_banner, bad_certificate; /* whose face it is; both 0: STARTTLS is gone */
	struct seen sites[SITES];
};

const char *
egress_state_text(enum egress_state s)
{
	static const char *const texts[EGRESS_STATES] = {
		"open", "blocked", "intercepted", "listed"};
	return texts[s];
}

/* --- names */

/*
 * Large operators, each with machines of its own that all offer STARTTLS: several of them
 * behind one machine is against nature, though nothing has been seen of them before.
 */
static const char *const owners[] = {"gmail.com googlemail.com google.com",
	"outlook.com hotmail.com live.com msn.com", "yahoo.com ymail.com aol.com",
	"icloud.com me.com mac.com", "gmx.de gmx.net gmx.at gmx.ch web.de", "t-online.de",
	"mail.ru", "yandex.ru yandex.com", "qq.com", "163.com 126.com",
	"proton.me protonmail.com", "fastmail.com", "orange.fr", "free.fr", "libero.it",
	"naver.com", "seznam.cz"};

/* Its number, from 1; 0: none of them. */
static unsigned
owner_of(struct slice domain)
{
	for (unsigned i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		struct slice one, rest = slice_of(owners[i]);
		while (rest.n != 0) {
			slice_cut(rest, ' ', &one, &rest);
			if (slice_eq_nocase(one, domain))
				return i + 1;
		}
	}
	return 0;
}

/*
 * The name that an organisation has registered, about: its last two labels, three below a
 * short label of a country (co.uk, com.br). Where that is wrong, more are held for related,
 * and an alarm asks for more evidence.
 */
static struct slice
organisation(struct slice name)
{
	size_t at = name.n, labels = 0, want = 2, end = name.n, before = 0;
	while (at > 0 && labels < want) {
		at--;
		if (name.p[at] != '.' && at != 0)
			continue;
		size_t label = end - at - (name.p[at] == '.');
		labels++;
		if (labels == 1)
			before = label;
		else if (labels == 2 && before == 2 && label <= 3)
			want = 3;
		end = at;
	}
	return at == 0 && (name.n == 0 || name.p[0] != '.') ? name : slice_from(name, end + 1);
}

/* The machine in a banner: the organisation of the host name that it begins with; where it does
 * not begin with one (masked by asterisks), all of it but digits. */
static uint64_t
banner_face(struct slice banner)
{
	struct slice host, rest;
	banner = slice_trim(banner);
	slice_cut(banner, ' ', &host, &rest);
	bool is_name = slice_has(host, '.');
	for (size_t i = 0; i < host.n; i++)
		is_name = is_name && (ascii_alpha(host.p[i]) || ascii_digit(host.p[i]) ||
					     host.p[i] == '-' || host.p[i] == '.');
	if (is_name)
		return slice_hash_nocase(organisation(host));
	char text[128];
	size_t n = 0;
	for (size_t i = 0; i < banner.n && n < sizeof(text); i++)
		if (!ascii_digit(banner.p[i]))
			text[n++] = banner.p[i];
	return n != 0 ? slice_hash((struct slice){text, n}) : 0;
}

/* What a stranger has written, for people: cut, and printable. */
static void
words(char out[NAME], struct slice in)
{
	size_t n = in.n < NAME - 1 ? in.n : NAME - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = in.p[i] >= ' ' && in.p[i] <= '~' ? in.p[i] : '?';
	out[n] = '\0';
}

/* --- what is remembered */

static bool
within(uint64_t then_ms, uint64_t now_ms, uint64_t window_ms)
{
	return then_ms != 0 && now_ms - then_ms <= window_ms;
}

static struct seen *
seen_get(struct egress *e, const struct egress_evidence *v)
{
	uint64_t domain = slice_hash_nocase(v->site) | 1;
	struct seen *oldest = &e->sites[0];
	for (size_t i = 0; i < SITES; i++) {
		struct seen *x = &e->sites[i];
		if (x->domain == domain)
			return x;
		if (x->last_ms < oldest->last_ms)
			oldest = x;
	}
	*oldest = (struct seen){.domain = domain,
		.org = slice_hash_nocase(organisation(v->site)),
		.owner = owner_of(v->site)};
	words(oldest->name, v->site);
	return oldest;
}

/* The first stays: it is what the others are compared with. */
static void
face_note(struct face faces[FACES], uint64_t hash, uint64_t now_ms)
{
	size_t at = 0;
	while (at < FACES && faces[at].hash != 0 && faces[at].hash != hash)
		at++;
	if (at == FACES) {
		memmove(&faces[1], &faces[2], (FACES - 2) * sizeof(*faces));
		at = FACES - 1;
		faces[at].hash = 0;
	}
	if (faces[at].hash == 0)
		faces[at] = (struct face){hash, now_ms};
}

static void
face_forget(struct face faces[FACES], uint64_t hash)
{
	for (size_t i = 0; hash != 0 && i < FACES; i++) {
		if (faces[i].hash != hash)
			continue;
		memmove(&faces[i], &faces[i + 1], (FACES - 1 - i) * sizeof(*faces));
		faces[FACES - 1] = (struct face){0, 0};
		return;
	}
}

static uint64_t
face_since(const struct face faces[FACES], uint64_t hash)
{
	for (size_t i = 0; i < FACES; i++)
		if (faces[i].hash == hash)
			return faces[i].first_ms;
	return 0;
}

static void
seen_note(struct egress *e, struct seen *x, const struct egress_evidence *v, uint64_t now_ms)
{
	x->last_ms = now_ms;
	if (v->mx_set != 0)
		x->mx_set = v->mx_set;
	if (!v->reached) {
		x->unreachable_ms = now_ms;
		return;
	}
	x->reached_ms = e->reached_ms = now_ms;
	x->unreachable_ms = 0;
	x->listed_ms = v->listed ? now_ms : 0;
	x->banner = banner_face(v->banner);
	x->certificate = v->certificate;
	words(x->greeting, v->banner);
	if (x->banner != 0) {
		face_note(x->banners, x->banner, now_ms);
		if (x->greeting_first[0] == '\0')
			memcpy(x->greeting_first, x->greeting, NAME);
	}
	if (x->certificate != 0)
		face_note(x->certificates, x->certificate, now_ms);
	if (v->starttls) {
		x->had_starttls = true;
		x->gone_ms = 0;
		e->starttls_ms = now_ms;
	} else if (!v->listed && x->banner != 0 && (x->had_starttls || x->owner != 0)) {
		x->gone_ms = now_ms;
	}
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

typedef bool sign_fn(const struct egress *e, const struct seen *x, uint64_t now_ms);

enum { GROUP_MOST = 2 * BLOCKED_SITES };

struct group { /* destinations that show a sign, no two of them related */
	const struct seen *at[GROUP_MOST];
	size_t n, known; /* known: reached before */
};

static void
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

static bool
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
		bool neither = e->state == EGRESS_LISTED && v->reached && !v->listed;
		if (!neither)
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
	if (!v->reached && !v->unreachable)
		return false; /* the DNS, or nothing was tried: says nothing of the way */
	now_ms++;
	struct seen *x = seen_get(e, v);
	bool was_listed = x->listed_ms != 0;
	seen_note(e, x, v, now_ms);
	enum egress_state is = judge(e, x, v, now_ms);
	if (is != EGRESS_OPEN && is != e->state) {
		enter(e, is, now_ms);
		return true;
	}
	if (e->state == EGRESS_OPEN || !reopens(e, x, v, was_listed, now_ms))
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

/* --- in words */

enum { TEXT_SITES = 10, TEXT_BYTES = 8192 };

static unsigned long long
minutes(uint64_t ms)
{
	return (unsigned long long)(ms / MINUTE);
}

static void
text_open(const struct egress *e, uint64_t now_ms, struct buf *out)
{
	unsigned known = 0, reached = 0, unreachable = 0, listed = 0, gone = 0;
	for (size_t i = 0; i < SITES; i++) {
		const struct seen *x = &e->sites[i];
		known += x->domain != 0;
		reached += within(x->reached_ms, now_ms, HOUR);
		unreachable += within(x->unreachable_ms, now_ms, HOUR);
		listed += within(x->listed_ms, now_ms, HOUR);
		gone += within(x->gone_ms, now_ms, HOUR);
	}
	buf_printf(out,
		"open: of %u destinations known, in the last hour %u were reached, %u were "
		"unreachable, %u refused our address, %u had lost STARTTLS\n",
		known, reached, unreachable, listed, gone);
}

static bool
text_site(const struct egress *e, const struct seen *x, uint64_t now_ms, struct buf *out)
{
	switch (e->state) {
	case EGRESS_BLOCKED:
		if (x->unreachable_ms == 0)
			return false;
		buf_printf(out, "%s: unreachable %llu min ago, ", x->name,
			minutes(now_ms - x->unreachable_ms));
		if (x->reached_ms != 0)
			buf_printf(
				out, "reached %llu min ago\n", minutes(now_ms - x->reached_ms));
		else
			buf_add_text(out, "never reached\n");
		return true;
	case EGRESS_LISTED:
		if (x->listed_ms == 0)
			return false;
		buf_printf(out, "%s: refused our address %llu min ago, as \"%s\"\n", x->name,
			minutes(now_ms - x->listed_ms), x->greeting);
		return true;
	case EGRESS_INTERCEPTED:
		if (!(e->bad_banner != 0 && x->banner == e->bad_banner) &&
			!(e->bad_certificate != 0 && x->certificate == e->bad_certificate) &&
			x->gone_ms == 0)
			return false;
		buf_printf(out, "%s: answers as \"%s\"", x->name, x->greeting);
		if (strcmp(x->greeting, x->greeting_first) != 0)
			buf_printf(out, ", before as \"%s\"", x->greeting_first);
		buf_add_text(out, x->gone_ms != 0 ? ", without STARTTLS\n" : "\n");
		return true;
	case EGRESS_OPEN:
	case EGRESS_STATES: break;
	}
	return false;
}

static void
text_bad(const struct egress *e, uint64_t now_ms, struct buf *out)
{
	static const char *const why[EGRESS_STATES] = {
		[EGRESS_BLOCKED] = "unrelated destinations cannot be reached, and no other has "
				   "been since",
		[EGRESS_INTERCEPTED] = "one machine answers for unrelated destinations",
		[EGRESS_LISTED] = "unrelated destinations refuse our address",
	};
	const char *what = why[e->state];
	if (e->state == EGRESS_INTERCEPTED && e->bad_certificate != 0)
		what = "one certificate is shown for unrelated destinations";
	else if (e->state == EGRESS_INTERCEPTED && e->bad_banner == 0)
		what = "STARTTLS is gone at unrelated destinations that had it";
	buf_printf(out, "%s for %llu min: %s\n", egress_state_text(e->state),
		minutes(now_ms - e->since_ms), what);
	unsigned told = 0, more = 0;
	for (size_t i = 0; i < SITES; i++) {
		if (told < TEXT_SITES) {
			told += text_site(e, &e->sites[i], now_ms, out);
			continue;
		}
		struct buf none;
		buf_init(&none, TEXT_BYTES);
		more += text_site(e, &e->sites[i], now_ms, &none);
		buf_fini(&none);
	}
	if (more != 0)
		buf_printf(out, "and %u more\n", more);
	struct group g;
	group_find(e, sign_passed, now_ms, &g);
	buf_printf(
		out, "re-tests passed at %zu of %d unrelated destinations, ", g.n, OPEN_SITES);
	if (e->retest_ms > now_ms)
		buf_printf(out, "the next in %llu min\n", minutes(e->retest_ms - now_ms) + 1);
	else
		buf_add_text(out, "the next with the next mail\n");
}

struct slice
egress_text(const struct egress *e, uint64_t now_ms, struct arena *a)
{
	struct buf out;
	buf_init(&out, TEXT_BYTES);
	if (e->state == EGRESS_OPEN)
		text_open(e, now_ms + 1, &out);
	else
		text_bad(e, now_ms + 1, &out);
	struct slice text = arena_slice(a, buf_slice(&out));
	buf_fini(&out);
	return text;
}
