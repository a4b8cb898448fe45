/*
 * Evidence of people who write to each other: answers, quotations, patches, signatures, lists
 * of discussion. Whoever sends spam can write all of it, so that it is bounded as a group, and
 * most of it asks for two things that fit together.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum { PLAIN_MOST = 1500, ID_MOST = 250, ADDRESSES_MOST = 16 };

static bool
has(struct slice text, struct slice what)
{
	return slice_find_slice(text, what) < text.n;
}

/* "<local@host>" of a length that programs make, the first of those in value. */
static bool
is_id(struct slice value)
{
	size_t end = slice_find(value, '>'), at = slice_find(value, '@');
	return value.n > 0 && value.p[0] == '<' && end < value.n && at > 1 && at + 1 < end &&
	       end <= ID_MOST;
}

static bool
is_answer(struct slice lower)
{
	static const char *const marks[] = {"re:", "aw:", "sv:", "antw:", "res:", "odp:", "re[",
		"re (", "\xe5\x9b\x9e\xe5\xa4\x8d:", "\xe7\xad\x94\xe5\xa4\x8d:"};
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (slice_starts(lower, slice_of(marks[i])))
			return true;
	return false;
}

static void
thread(struct spam_gather *g)
{
	struct slice reply = g->field[SPAM_F_IN_REPLY_TO], all = g->field[SPAM_F_REFERENCES];
	if (reply.n == 0 && all.n == 0) {
		if (is_answer(g->subject_lower) && !g->found[SPAM_HAM_QUOTED] && !g->list &&
			!g->there[SPAM_F_THREAD_INDEX])
			spam_find(g, SPAM_SUBJECT_REPLY, SLICE_NONE);
		return;
	}
	if (!is_id(reply) && !is_id(all)) {
		/* programs of old wrote "message of Monday ..."; an id of no form is new */
		if ((reply.n > 0 && reply.p[0] == '<') || (all.n > 0 && all.p[0] == '<'))
			spam_find(g, SPAM_THREAD_FORGED, reply);
		return;
	}
	struct slice s = g->subject_lower;
	bool fits = is_answer(s) || has(s, SLICE("re: ")) || has(s, SLICE("[patch"));
	spam_find_part(g, SPAM_HAM_THREAD, fits ? 1 : 0.4, SLICE_NONE);
}

static size_t
count(struct slice text, struct slice what, size_t most)
{
	size_t n = 0;
	for (size_t at; n < most && (at = slice_find_slice(text, what)) < text.n; n++)
		text = slice_from(text, at + what.n);
	return n;
}

static void
talk(struct spam_gather *g)
{
	struct slice text = g->v->text;
	size_t marks = count(text, SLICE(" > "), 5);
	if (g->wrote && (marks >= 2 || g->there[SPAM_F_IN_REPLY_TO]))
		spam_find(g, SPAM_HAM_QUOTED, SLICE_NONE);
	else if (marks >= 4)
		spam_find_part(g, SPAM_HAM_QUOTED, 0.6, SLICE_NONE);
	size_t hunk = slice_find_slice(text, SLICE(" @@ "));
	if (hunk < text.n && (g->patched || slice_find_slice(text, SLICE(" +++ ")) < hunk))
		spam_find(g, SPAM_HAM_PATCH, SLICE_NONE);
}

static void
sealed(struct spam_gather *g)
{
	struct slice type = g->field[SPAM_F_CONTENT_TYPE];
	bool mime = slice_starts_nocase(type, SLICE("multipart/signed")) ||
		    slice_starts_nocase(type, SLICE("multipart/encrypted")) ||
		    slice_starts_nocase(type, SLICE("application/pkcs7-mime"));
	if (mime || g->armoured)
		spam_find(g, SPAM_HAM_SIGNED, SLICE_NONE);
}

static void
lists(struct spam_gather *g)
{
	struct slice id = g->field[SPAM_F_LIST_ID], post = g->field[SPAM_F_LIST_POST];
	size_t at = slice_find_last(id, '<');
	struct slice host = at < id.n ? slice_from(id, at + 1) : id;
	slice_cut(host, '>', &host, &(struct slice){0});
	size_t mail = spam_where(post, SLICE("mailto:"));
	if (host.n != 0 && mail < post.n) {
		struct slice to = slice_from(post, mail + 7);
		slice_cut(to, '>', &to, &(struct slice){0});
		slice_cut(to, '?', &to, &(struct slice){0});
		slice_cut(to, '@', &(struct slice){0}, &to);
		if (to.n != 0 && psl_same(to, host))
			spam_find(g, SPAM_HAM_LIST, host);
	}
	if (spam_where(g->field[SPAM_F_LIST_UNSUBSCRIBE_POST], SLICE("one-click")) <
			g->field[SPAM_F_LIST_UNSUBSCRIBE_POST].n &&
		spam_where(g->field[SPAM_F_LIST_UNSUBSCRIBE], SLICE("https://")) <
			g->field[SPAM_F_LIST_UNSUBSCRIBE].n &&
		g->there[SPAM_F_DKIM_SIGNATURE])
		spam_find_part(g, SPAM_HAM_UNSUBSCRIBE,
			slice_eq(g->w->dkim, SLICE("pass")) ? 1 : 0.4, SLICE_NONE);
}

static void
agent(struct spam_gather *g)
{
	static const char *const people[] = {"mozilla", "thunderbird", "mutt", "gnus", "kmail",
		"evolution", "sylpheed", "claws", "alpine", "pine", "apple mail", "iphone mail",
		"ipad mail", "roundcube", "squirrelmail", "k-9 mail", "notmuch", "elm",
		"git-send-email", "b4 ", "aerc", "neomutt", "trojita", "emacs", "exmh", "vm ",
		"nmh", "mh-e", "imp", "fairemail", "mailspring", "wanderlust", "stgit", "quilt",
		"xfmail", "ximian", "lotus notes", "mew", "betterbird"};
	struct slice who = g->field[SPAM_F_USER_AGENT].n != 0 ? g->field[SPAM_F_USER_AGENT]
							      : g->field[SPAM_F_MAILER];
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]) && who.n != 0; i++)
		if (spam_where(who, slice_of(people[i])) < who.n) {
			spam_find(g, SPAM_HAM_AGENT, slice_of(people[i]));
			return;
		}
}

/*
 * An address to write to that is at a free provider: how frauds are answered. In an answer, a
 * quotation or on a list it is anybody's.
 */
static void
correspondent(struct spam_gather *g)
{
	if (g->list || g->found[SPAM_HAM_THREAD] || g->found[SPAM_HAM_QUOTED])
		return;
	struct slice rest = g->v->text;
	for (size_t tries = 0, at;
		tries < ADDRESSES_MOST && (at = slice_find(rest, '@')) < rest.n; tries++) {
		struct slice local = slice_first(rest, at), host;
		rest = slice_from(rest, at + 1);
		size_t n = 0;
		while (n < rest.n && (ascii_alpha(rest.p[n]) || ascii_digit(rest.p[n]) ||
					     rest.p[n] == '-' || rest.p[n] == '.'))
			n++;
		host = slice_first(rest, n);
		while (host.n > 0 && host.p[host.n - 1] == '.')
			host.n--;
		if (!spam_free_mail(host) || local.n == 0)
			continue;
		bool author =
			slice_eq(host, g->from.host) && slice_ends_nocase(local, g->from.local);
		struct slice to = g->field[SPAM_F_TO];
		if (!author && spam_where(to, host) == to.n) {
			spam_find(g, SPAM_TEXT_FREE_MAIL, host);
			return;
		}
	}
}

void
spam_gather_ham(struct spam_gather *g)
{
	talk(g);
	thread(g);
	sealed(g);
	lists(g);
	agent(g);
	correspondent(g);
	size_t n = g->v->text.n;
	if (!g->links && n >= 20 && n <= PLAIN_MOST && g->v->n_parts == 1 &&
		slice_eq(g->v->parts[0].type, SLICE("text/plain")))
		spam_find(g, SPAM_HAM_PLAIN, SLICE_NONE);
}
