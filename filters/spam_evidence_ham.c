/*
 * Evidence of people who write to each other: answers, quotations, patches, signatures, lists
 * of discussion. Whoever sends spam can write all of it, so that it is bounded as a group, and
 * most of it asks for two things that fit together.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum { PLAIN_MOST = 1500 };

static bool
has(struct slice text, struct slice what)
{
	return slice_find_slice(text, what) < text.n;
}

static void
thread(struct spam_gather *g)
{
	struct slice reply = g->field[SPAM_F_IN_REPLY_TO], all = g->field[SPAM_F_REFERENCES];
	bool names_one = slice_has(reply, '@') || slice_has(all, '@');
	if (!names_one)
		return;
	struct slice s = g->subject_lower;
	bool fits = slice_starts(s, SLICE("re:")) || slice_starts(s, SLICE("aw:")) ||
		    slice_starts(s, SLICE("sv:")) || has(s, SLICE("re: ")) ||
		    has(s, SLICE("[patch"));
	spam_find_part(g, SPAM_HAM_THREAD, fits ? 1 : 0.6, SLICE_NONE);
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
	bool wrote = has(text, SLICE("wrote:")) || has(text, SLICE(" schrieb")) ||
		     has(text, SLICE("a \xc3\xa9"
				     "crit")) ||
		     has(text, SLICE(" writes:")) || has(text, SLICE("original message"));
	if (wrote && (count(text, SLICE(" > "), 3) >= 2 || has(text, SLICE("wrote: >")) ||
			     g->there[SPAM_F_IN_REPLY_TO]))
		spam_find(g, SPAM_HAM_QUOTED, SLICE_NONE);
	else if (count(text, SLICE(" > "), 5) >= 4)
		spam_find_part(g, SPAM_HAM_QUOTED, 0.6, SLICE_NONE);
	if ((has(text, SLICE("diff --git ")) || has(text, SLICE(" +++ "))) &&
		has(text, SLICE(" @@ ")))
		spam_find(g, SPAM_HAM_PATCH, SLICE_NONE);
	static const char *const code[] = {"#include", "sudo ", "/usr/", "/etc/", "int main",
		"traceback (most recent call", "stack trace", "segfault", "segmentation fault",
		"void ", "() {", "return 0", "make[", "error: ", "warning: ", "git ", "gcc",
		"signed-off-by:", "kernel", "undefined reference", "~/", "config_"};
	unsigned hits = 0;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]) && hits < 3; i++)
		hits += has(text, slice_of(code[i]));
	if (hits >= 2)
		spam_find_part(g, SPAM_HAM_CODE, hits > 2 ? 1 : 0.6, SLICE_NONE);
}

static void
sealed(struct spam_gather *g)
{
	struct slice type = g->field[SPAM_F_CONTENT_TYPE];
	bool mime = slice_starts_nocase(type, SLICE("multipart/signed")) ||
		    slice_starts_nocase(type, SLICE("multipart/encrypted")) ||
		    slice_starts_nocase(type, SLICE("application/pkcs7-mime"));
	bool inline_pgp = has(g->v->text, SLICE("begin pgp sign")) ||
			  has(g->v->text, SLICE("begin pgp message"));
	if (mime || inline_pgp)
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

void
spam_gather_ham(struct spam_gather *g)
{
	thread(g);
	talk(g);
	sealed(g);
	lists(g);
	agent(g);
	size_t n = g->v->text.n;
	if (!g->links && n >= 20 && n <= PLAIN_MOST && g->v->n_parts == 1 &&
		slice_eq(g->v->parts[0].type, SLICE("text/plain")))
		spam_find(g, SPAM_HAM_PLAIN, SLICE_NONE);
}
