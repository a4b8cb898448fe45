/*
 * What a failed attempt means (OUT-10). The delivery process has the reply and where it came;
 * the first rule that fits says the rest, and without one the codes do: enhanced code, then
 * the phase, then the reply code. What is aimed at our address lasts no longer than our listing
 * does, so it is temporary even with a 5xx (the mail waits, or goes by another way), unless a
 * rule says otherwise.
 */
#include "delivery/failure_priv.h"

#include "base/mem.h"
#include "base/must.h"
#include "conf/file.h"

static const char *const class_texts[FAILURE_CLASSES] = {
	[FAILURE_NO_RECIPIENT] = "no-recipient",
	[FAILURE_MAILBOX_FULL] = "mailbox-full",
	[FAILURE_TOO_LARGE] = "too-large",
	[FAILURE_CONTENT] = "content",
	[FAILURE_AUTHENTICATION] = "authentication",
	[FAILURE_LISTED] = "listed",
	[FAILURE_GREYLISTED] = "greylisted",
	[FAILURE_BUSY] = "busy",
	[FAILURE_TLS] = "tls",
	[FAILURE_PROTOCOL] = "protocol",
	[FAILURE_ROUTE] = "route",
	[FAILURE_OTHER] = "other",
};

static const char *const phase_texts[FAILURE_PHASES] = {
	[FAILURE_AT_DNS] = "dns",
	[FAILURE_AT_CONNECT] = "connect",
	[FAILURE_AT_GREETING] = "greeting",
	[FAILURE_AT_TLS] = "tls",
	[FAILURE_AT_AUTH] = "auth",
	[FAILURE_AT_MAIL] = "mail",
	[FAILURE_AT_RCPT] = "rcpt",
	[FAILURE_AT_DATA] = "data",
	[FAILURE_AT_DOT] = "dot",
};

const char *
failure_class_text(enum failure_class c)
{
	must((unsigned)c < FAILURE_CLASSES);
	return class_texts[c];
}

bool
failure_class_parse(struct slice word, enum failure_class *class_out)
{
	for (unsigned i = 0; i < FAILURE_CLASSES; i++)
		if (slice_eq(word, slice_of(class_texts[i]))) {
			*class_out = (enum failure_class)i;
			return true;
		}
	return false;
}

const char *
failure_phase_text(enum failure_phase p)
{
	must((unsigned)p < FAILURE_PHASES);
	return phase_texts[p];
}

/* What a rule is asked with. */
struct question {
	char digits[3];
	int enhanced[3];
	bool has_enhanced;
	struct slice words, plain, host; /* plain: words without URLs and names of hosts */
	enum failure_phase phase;
};

struct question_room {
	char words[FAILURE_WORDS_MOST], plain[FAILURE_WORDS_MOST], host[256];
};

/* "5.1.1" in the words, of the code's class: qmail's "(#5.1.1)", lines of another server. */
static bool
enhanced_in(struct slice words, char class, int part_out[3])
{
	for (size_t i = 0; i + 4 < words.n; i++) {
		if (words.p[i] != class || words.p[i + 1] != '.' ||
			(i > 0 && (failure_in_a_word(words.p[i - 1]) || words.p[i - 1] == '.')))
			continue;
		size_t at = i + 1, parts = 1;
		part_out[0] = class - '0';
		while (parts < 3 && at < words.n && words.p[at] == '.') {
			size_t digits = 0;
			int value = 0;
			for (at++; at < words.n && digits < 3 && ascii_digit(words.p[at]);
				at++, digits++)
				value = value * 10 + (words.p[at] - '0');
			if (digits == 0)
				break;
			part_out[parts++] = value;
		}
		bool goes_on = at < words.n && failure_in_a_word(words.p[at]);
		bool fourth =
			at + 1 < words.n && words.p[at] == '.' && ascii_digit(words.p[at + 1]);
		if (parts == 3 && !goes_on && !fourth)
			return true;
	}
	return false;
}

static void
ask(const struct failure_input *in, struct question_room *room, struct question *q_out)
{
	const struct smtp_reply *r = in->reply;
	int code = r->code;
	*q_out = (struct question){.phase = in->phase};
	q_out->host = slice_first(in->host, sizeof(room->host));
	for (size_t i = 0; i < q_out->host.n; i++)
		room->host[i] = ascii_lower(in->host.p[i]);
	q_out->host.p = room->host;
	for (int i = 2; i >= 0; i--, code /= 10)
		q_out->digits[i] = (char)('0' + code % 10);
	q_out->words = failure_clean(r->text, room->words, sizeof(room->words));
	q_out->plain = failure_without_names(q_out->words, room->plain);
	q_out->has_enhanced = r->has_enhanced;
	for (int i = 0; i < 3 && r->has_enhanced; i++)
		q_out->enhanced[i] = r->enhanced[i];
	if (!r->has_enhanced)
		q_out->has_enhanced =
			enhanced_in(q_out->words, q_out->digits[0], q_out->enhanced);
}

static bool
code_fits(struct failure_any_of any, const char digits[3])
{
	for (size_t i = 0; i < any.n; i++) {
		const char *p = any.p[i].p;
		size_t same = 0;
		while (same < 3 && (p[same] == 'x' || p[same] == digits[same]))
			same++;
		if (same == 3)
			return true;
	}
	return any.n == 0;
}

static bool
enhanced_fits(const struct failure_rule *rule, const struct question *q)
{
	for (size_t i = 0; i < rule->n_enhanced; i++) {
		const struct failure_enhanced *e = &rule->enhanced[i];
		size_t same = 0;
		if (!q->has_enhanced && e->most[0] != 0)
			continue;
		while (same < 3 && q->enhanced[same] >= e->least[same] &&
			q->enhanced[same] <= e->most[same])
			same++;
		if (same == 3)
			return true;
	}
	return rule->n_enhanced == 0;
}

static bool
host_fits(struct failure_any_of any, struct slice host)
{
	for (size_t i = 0; i < any.n; i++)
		if (failure_host_fits(any.p[i], host))
			return true;
	return any.n == 0;
}

static bool
words_fit(struct failure_any_of any, const struct question *q)
{
	for (size_t i = 0; i < any.n; i++)
		if (failure_words_fit(any.p[i], any.p[i].p[0] == '*' ? q->words : q->plain))
			return true;
	return false;
}

static bool
rule_fits(const struct failure_rule *rule, const struct question *q)
{
	if (rule->phases != 0 && (rule->phases & 1u << q->phase) == 0)
		return false;
	if (!code_fits(rule->codes, q->digits) || !enhanced_fits(rule, q))
		return false;
	if (!host_fits(rule->hosts, q->host))
		return false;
	for (size_t i = 0; i < rule->n_words; i++)
		if (words_fit(rule->words[i].any, q) == rule->words[i].but)
			return false;
	return true;
}

static const struct failure_rule *
rule_for(const struct failure_rules *r, const struct question *q)
{
	for (const struct failure_set *set = r->first; set != NULL; set = set->next)
		for (size_t i = 0; i < set->n; i++)
			if (rule_fits(&set->rules[i], q))
				return &set->rules[i];
	return NULL;
}

/* RFC 3463 3 and the registry of enhanced codes; a row without detail is for all that are left.
 */
static const struct {
	int subject, detail; /* detail -1: any */
	enum failure_class class;
} by_enhanced[] = {
	{1, 7, FAILURE_AUTHENTICATION},
	{1, 8, FAILURE_AUTHENTICATION},
	{1, 9, FAILURE_PROTOCOL},
	{1, 0, FAILURE_OTHER},
	{1, -1, FAILURE_NO_RECIPIENT},
	{2, 1, FAILURE_NO_RECIPIENT},
	{2, 2, FAILURE_MAILBOX_FULL},
	{2, 3, FAILURE_TOO_LARGE},
	{2, 4, FAILURE_ROUTE},
	{3, 4, FAILURE_TOO_LARGE},
	{3, -1, FAILURE_BUSY},
	{4, 3, FAILURE_BUSY},
	{4, 5, FAILURE_BUSY},
	{4, -1, FAILURE_ROUTE},
	{5, 3, FAILURE_BUSY}, /* too many recipients */
	{5, -1, FAILURE_PROTOCOL},
	{6, 7, FAILURE_PROTOCOL}, /* addresses in UTF-8 (RFC 6531), to 6.10 */
	{6, 8, FAILURE_PROTOCOL},
	{6, 9, FAILURE_PROTOCOL},
	{6, 10, FAILURE_PROTOCOL},
	{6, -1, FAILURE_CONTENT},
	{7, 2, FAILURE_AUTHENTICATION},
	{7, 3, FAILURE_AUTHENTICATION}, /* 3 to 7: what protects the message, not the way */
	{7, 4, FAILURE_AUTHENTICATION},
	{7, 5, FAILURE_AUTHENTICATION},
	{7, 6, FAILURE_AUTHENTICATION},
	{7, 7, FAILURE_AUTHENTICATION},
	{7, 8, FAILURE_AUTHENTICATION},
	{7, 9, FAILURE_AUTHENTICATION},
	{7, 10, FAILURE_TLS},
	{7, 11, FAILURE_TLS},
	{7, 12, FAILURE_AUTHENTICATION},
	{7, 13, FAILURE_NO_RECIPIENT},
	{7, 14, FAILURE_AUTHENTICATION},
	{7, 16, FAILURE_TOO_LARGE},    /* for its priority (RFC 6710) */
	{7, 17, FAILURE_NO_RECIPIENT}, /* the mailbox has another owner (RFC 7293) */
	{7, 18, FAILURE_NO_RECIPIENT}, /* the domain has */
	{7, 20, FAILURE_AUTHENTICATION},
	{7, 21, FAILURE_AUTHENTICATION},
	{7, 22, FAILURE_AUTHENTICATION},
	{7, 23, FAILURE_AUTHENTICATION},
	{7, 24, FAILURE_AUTHENTICATION},
	{7, 25, FAILURE_LISTED}, /* no PTR (RFC 7372) */
	{7, 26, FAILURE_AUTHENTICATION},
	{7, 27, FAILURE_AUTHENTICATION},
	{7, 28, FAILURE_LISTED}, /* a flood of mail */
	{7, 29, FAILURE_AUTHENTICATION},
	{7, 30, FAILURE_TLS},
};

static const struct {
	int code;
	enum failure_class class;
} by_code[] = {
	{421, FAILURE_BUSY},
	{455, FAILURE_PROTOCOL},
	{500, FAILURE_PROTOCOL},
	{501, FAILURE_PROTOCOL},
	{502, FAILURE_PROTOCOL},
	{503, FAILURE_PROTOCOL},
	{504, FAILURE_PROTOCOL},
	{523, FAILURE_TOO_LARGE},
	{530, FAILURE_AUTHENTICATION},
	{534, FAILURE_AUTHENTICATION},
	{535, FAILURE_AUTHENTICATION},
	{538, FAILURE_TLS},
	{551, FAILURE_NO_RECIPIENT},
	{552, FAILURE_MAILBOX_FULL},
	{555, FAILURE_PROTOCOL},
	{556, FAILURE_NO_RECIPIENT},
};

/* FAILURE_CLASSES: the enhanced code says nothing. */
static enum failure_class
class_by_enhanced(const struct question *q)
{
	enum failure_class found = FAILURE_CLASSES;
	for (size_t i = 0; i < sizeof(by_enhanced) / sizeof(by_enhanced[0]) &&
			   q->has_enhanced && found == FAILURE_CLASSES;
		i++)
		if (by_enhanced[i].subject == q->enhanced[1] &&
			(by_enhanced[i].detail < 0 || by_enhanced[i].detail == q->enhanced[2]))
			found = by_enhanced[i].class;
	/* Who is unknown at MAIL is the sender; security at STARTTLS is that of TLS. */
	if (q->phase == FAILURE_AT_MAIL && found == FAILURE_NO_RECIPIENT)
		return FAILURE_AUTHENTICATION;
	if (q->phase == FAILURE_AT_TLS && found == FAILURE_AUTHENTICATION)
		return FAILURE_TLS;
	return found;
}

static enum failure_class
class_by_codes(const struct question *q, int code)
{
	enum failure_class found = class_by_enhanced(q);
	if (found != FAILURE_CLASSES)
		return found;
	if (q->phase == FAILURE_AT_TLS)
		return FAILURE_TLS;
	if (q->phase == FAILURE_AT_AUTH)
		return FAILURE_AUTHENTICATION;
	if (q->phase == FAILURE_AT_DNS || q->phase == FAILURE_AT_CONNECT)
		return FAILURE_ROUTE;
	if (code < 400)
		return FAILURE_PROTOCOL; /* the connection was lost, or this was no answer */
	for (size_t i = 0; i < sizeof(by_code) / sizeof(by_code[0]); i++)
		if (by_code[i].code == code)
			return by_code[i].class;
	return code < 500 ? FAILURE_BUSY : FAILURE_OTHER;
}

static enum failure_about
about_of(enum failure_class class, enum failure_phase phase)
{
	switch (class) {
	case FAILURE_NO_RECIPIENT:
	case FAILURE_MAILBOX_FULL: return ABOUT_RECIPIENT;
	case FAILURE_TOO_LARGE:
	case FAILURE_CONTENT: return ABOUT_THE_MAIL;
	case FAILURE_AUTHENTICATION:
		return phase == FAILURE_AT_AUTH ? ABOUT_THE_WAY : ABOUT_THE_MAIL;
	case FAILURE_LISTED: return ABOUT_US;
	case FAILURE_GREYLISTED:
	case FAILURE_BUSY:
	case FAILURE_TLS:
	case FAILURE_PROTOCOL:
	case FAILURE_ROUTE: return ABOUT_THE_WAY;
	case FAILURE_OTHER: return phase == FAILURE_AT_RCPT ? ABOUT_RECIPIENT : ABOUT_THE_MAIL;
	case FAILURE_CLASSES: break;
	}
	must(class < FAILURE_CLASSES);
	return ABOUT_THE_WAY;
}

static bool
is_permanent(enum failure_lasts lasts, enum failure_class class, const struct question *q)
{
	if (lasts != LASTS_BY_CODE)
		return lasts == LASTS_PERMANENT;
	/* Our listing ends; a login that is refused is ours to set right, not the mail's. */
	if (class == FAILURE_LISTED || class == FAILURE_GREYLISTED ||
		q->phase == FAILURE_AT_AUTH)
		return false;
	return q->digits[0] == '5';
}

void
failure_judge(
	const struct failure_rules *r, const struct failure_input *in, struct failure *out)
{
	struct question_room room;
	struct question q;
	must(in->reply->code >= 0 && in->reply->code <= 999);
	must((unsigned)in->phase < FAILURE_PHASES);
	ask(in, &room, &q);
	/* Our own words have our own codes: there is nothing to guess. */
	const struct failure_rule *rule = in->from_hop ? rule_for(r, &q) : NULL;
	*out = (struct failure){
		.class = rule != NULL ? rule->class : class_by_codes(&q, in->reply->code)};
	/* X.4.3 of a remote is its own trouble; ours is that the DNS does not answer. */
	if (!in->from_hop && in->phase == FAILURE_AT_DNS && in->reply->code / 100 == 4)
		out->class = FAILURE_ROUTE;
	out->permanent =
		is_permanent(rule != NULL ? rule->lasts : LASTS_BY_CODE, out->class, &q);
	out->about = about_of(out->class, in->phase);
	out->rule = rule != NULL ? rule->name : NULL;
}

static struct failure_rules *
rules_of(struct failure_set *set)
{
	if (set == NULL)
		return NULL;
	struct failure_rules *r = MEM_NEW(struct failure_rules);
	r->first = set;
	r->n_sets = 1;
	return r;
}

struct failure_rules *
failure_rules_parse(struct slice text, const char *name, struct err *err)
{
	return rules_of(failure_set_parse(text, name, err));
}

struct failure_rules *
failure_rules_new(struct err *err)
{
	return failure_rules_parse(
		(struct slice){failure_builtin, failure_builtin_bytes}, "failure.rules", err);
}

int
failure_rules_add_text(
	struct failure_rules *r, struct slice text, const char *name, struct err *err)
{
	if (r->n_sets >= FAILURE_SETS_MOST)
		return err_set(err, "%s: more than %d files of rules", name, FAILURE_SETS_MOST);
	struct failure_set *set = failure_set_parse(text, name, err);
	if (set == NULL)
		return -1;
	set->next = r->first;
	r->first = set;
	r->n_sets++;
	return 0;
}

int
failure_rules_add(struct failure_rules *r, const char *path, struct err *err)
{
	struct arena *a = arena_new(2 * FAILURE_FILE_MOST + 64 * 1024);
	struct slice text;
	int result = file_read(path, FAILURE_FILE_MOST, a, &text, err);
	if (result == 0)
		result = failure_rules_add_text(r, text, path, err);
	arena_free(&a);
	return result;
}

void
failure_rules_free(struct failure_rules **r)
{
	if (*r == NULL)
		return;
	while ((*r)->first != NULL) {
		struct failure_set *set = (*r)->first;
		(*r)->first = set->next;
		failure_set_free(&set);
	}
	mem_free(*r);
	*r = NULL;
}
