/*
 * Evidence in the shape of the header: Message-ID, recipients, the mail program that is
 * claimed, Received lines below ours, and what mass mailers leave behind. Values are what
 * spam_view lets see, so that a mail out of a mailbox is judged as it was at the gate.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum { RECEIVED_MOST = 8, RECIPIENTS_MOST = 40 };

static void
message_id(struct spam_gather *g)
{
	struct slice id = g->field[SPAM_F_MESSAGE_ID];
	if (!g->there[SPAM_F_MESSAGE_ID] || id.n == 0) {
		spam_find(g, SPAM_ID_MISSING, SLICE_NONE);
		return;
	}
	size_t at = slice_find_last(id, '@');
	bool bad = id.n < 5 || id.p[0] != '<' || id.p[id.n - 1] != '>' || at == id.n ||
		   at < 2 || slice_has(id, ' ');
	struct slice host =
		bad ? SLICE_NONE : slice_first(slice_from(id, at + 1), id.n - at - 2);
	if (bad || host.n == 0 || slice_has(slice_first(slice_from(id, 1), at - 1), '<')) {
		spam_find(g, SPAM_ID_BAD, id);
		return;
	}
	if (spam_is_own(g->w, host) && g->from.host.n != 0 && !spam_is_own(g->w, g->from.host))
		spam_find(g, SPAM_ID_OURS, host);
}

/* The addresses of To and Cc, loosely: what has an '@' between commas. */
static size_t
recipients(struct slice value, struct slice *out, size_t n)
{
	for (struct slice rest = value, one; rest.n > 0 && n < RECIPIENTS_MOST;) {
		slice_cut(rest, ',', &one, &rest);
		size_t open = slice_find_last(one, '<');
		if (open < one.n)
			slice_cut(slice_from(one, open + 1), '>', &one, &(struct slice){0});
		one = slice_trim(one);
		if (slice_has(one, '@'))
			out[n++] = one;
	}
	return n;
}

static void
whom(struct spam_gather *g)
{
	struct slice to = g->field[SPAM_F_TO], cc = g->field[SPAM_F_CC];
	if (spam_where(to, SLICE("undisclosed")) < to.n ||
		spam_where(to, SLICE("unlisted-recipients")) < to.n) {
		spam_find(g, SPAM_TO_UNDISCLOSED, SLICE_NONE);
		return;
	}
	struct slice all[RECIPIENTS_MOST];
	size_t n = recipients(to, all, 0);
	size_t n_to = n;
	n = recipients(cc, all, n);
	if (to.n == 0 && cc.n == 0)
		spam_find(g, SPAM_TO_MISSING, SLICE_NONE);
	else if (n_to == 1 && g->from.local.n != 0) {
		struct slice local, host;
		slice_cut(all[0], '@', &local, &host);
		if (slice_eq_nocase(local, g->from.local) &&
			slice_eq_nocase(host, g->from.host))
			spam_find(g, SPAM_TO_SELF, all[0]);
	}
}

/* Programs that write Message-IDs with two '$' in them, and X-MimeOLE beside. */
static bool
outlook_id(struct slice id)
{
	size_t first = slice_find(id, '$');
	return first < id.n && slice_has(slice_from(id, first + 1), '$');
}

static void
mail_program(struct spam_gather *g)
{
	struct slice mailer = g->field[SPAM_F_MAILER], id = g->field[SPAM_F_MESSAGE_ID];
	bool express = slice_starts_nocase(mailer, SLICE("Microsoft Outlook Express"));
	if (express && !g->list && (!g->there[SPAM_F_MIME_OLE] || !outlook_id(id)))
		spam_find(g, SPAM_MUA_FORGED, mailer);
	else if (!express && slice_starts_nocase(mailer, SLICE("Microsoft Outlook")) &&
		 !g->list && !g->there[SPAM_F_MIME_OLE] && !g->there[SPAM_F_THREAD_INDEX])
		spam_find_part(g, SPAM_MUA_FORGED, outlook_id(id) ? 0.5 : 0.9, mailer);
	else if (g->there[SPAM_F_MS_PRIORITY] && !g->there[SPAM_F_MIME_OLE] && !g->list &&
		 spam_where(mailer, SLICE("outlook")) == mailer.n)
		spam_find_part(g, SPAM_MUA_FORGED, 0.5, SLICE("X-MSMail-Priority"));
	static const char *const mass[] = {"leaf phpmailer", "leafmailer", "mass sender",
		"mass mail", "bulk", "massmail", "king mailer", "sendblaster", "group mail",
		"groupmail", "atomic", "stormpost", "dmailer", "emailsender", "email sender",
		"smtp sender", "gammadyne", "easysender", "turbo mailer", "turbomailer",
		"xmailer", "hi-mailer", "foxmail 4", "power mailer", "advanced direct",
		"direct email", "mailloop", "swiftmailer"};
	for (size_t i = 0; i < sizeof(mass) / sizeof(mass[0]) && mailer.n != 0; i++)
		if (spam_where(mailer, slice_of(mass[i])) < mailer.n)
			spam_find(g, SPAM_MUA_MASS, mailer);
	/* web sites of honest people have it too */
	if (slice_starts_nocase(mailer, SLICE("PHPMailer")) && !g->there[SPAM_F_PHP_SCRIPT])
		spam_find_part(g, SPAM_MUA_MASS, 0.4, mailer);
	if (!slice_has(mailer, ' ') && spam_diced(mailer))
		spam_find(g, SPAM_MUA_MASS, mailer);
	if (g->there[SPAM_F_PHP_SCRIPT])
		spam_find_part(g, SPAM_MUA_MASS, 0.6, g->field[SPAM_F_PHP_SCRIPT]);
}

/* "[300.1.2.3]": four numbers, and one of them too great, or no network of the Internet. */
static bool
impossible_address(struct slice s)
{
	unsigned numbers[4] = {0}, n = 0;
	size_t digits = 0;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && ascii_digit(s.p[i])) {
			if (++digits > 3)
				return false;
			numbers[n] = numbers[n] * 10 + (unsigned)(s.p[i] - '0');
			continue;
		}
		if (digits == 0 || (i < s.n && s.p[i] != '.'))
			return false;
		digits = 0;
		if (++n == 4)
			return i == s.n && (numbers[0] > 239 || numbers[1] > 255 ||
						   numbers[2] > 255 || numbers[3] > 255 ||
						   (numbers[0] == 0 && numbers[1] != 0));
	}
	return false;
}

static void
received_one(struct spam_gather *g, struct slice value)
{
	for (struct slice rest = value, inner; slice_cut(rest, '[', &inner, &rest);) {
		slice_cut(rest, ']', &inner, &(struct slice){0});
		if (impossible_address(inner))
			spam_find(g, SPAM_RECEIVED_FORGED, inner);
	}
	struct slice from;
	value = slice_trim(value);
	if (!slice_starts_nocase(value, SLICE("from ")))
		return;
	slice_cut(slice_trim(slice_from(value, 5)), ' ', &from, &(struct slice){0});
	struct ip ip;
	if (ip_parse(from, &ip) && ip.family == 4 && slice_has(value, '('))
		spam_find(g, SPAM_RECEIVED_BARE, from);
	size_t helo = spam_where(value, SLICE("(helo "));
	if (helo < value.n) {
		slice_cut(slice_from(value, helo + 6), ')', &from, &(struct slice){0});
		if (from.n == 0 || ip_parse(from, &ip))
			spam_find(g, SPAM_RECEIVED_BARE, from);
	}
}

/* What a mass mailer fills in, left as it stood in its template. */
static bool
place_holder(struct slice s, struct slice *which_out)
{
	static const char *const left[] = {"{%", "%}", "%rnd", "%random", "%custom", "%name%",
		"%email%", "%from_", "%to_", "%%", "[[", "]]", "{{", "}}", "${", "$rnd", "<%",
		"[email]", "[name]", "[firstname]", "[first_name]", "{email}", "{name}",
		"{rand", "[random", "%subject", "%date"};
	bool any = false;
	for (size_t i = 0; i < s.n && !any; i++)
		any = s.p[i] == '%' || s.p[i] == '{' || s.p[i] == '[' || s.p[i] == '#' ||
		      s.p[i] == '$' || s.p[i] == ']';
	for (size_t i = 0; any && i < sizeof(left) / sizeof(left[0]); i++)
		if (spam_where(s, slice_of(left[i])) < s.n) {
			*which_out = slice_of(left[i]);
			return true;
		}
	return false;
}

static bool
starts_x(struct slice name)
{
	return name.n > 2 && ascii_lower(name.p[0]) == 'x' && name.p[1] == '-';
}

static void
leftovers(struct spam_gather *g)
{
	unsigned blank = 0, received = 0, diced = 0;
	struct slice name = SLICE_NONE;
	for (size_t i = 0; i < g->v->n_fields; i++) {
		const struct message_field *f = &g->v->fields[i];
		if (f->name.n == 8 && slice_eq_nocase(f->name, SLICE("Received"))) {
			if (++received <= RECEIVED_MOST)
				received_one(g, message_unfold(f->value, g->a));
			continue;
		}
		/* Exchange leaves its own empty */
		if (f->value.n <= 3 && slice_trim(f->value).n == 0 &&
			!slice_starts_nocase(f->name, SLICE("X-MS-")))
			blank++;
		if ((starts_x(f->name) && spam_diced(slice_from(f->name, 2))) ||
			(f->name.n >= 6 && !slice_has(f->name, '-') && spam_diced(f->name))) {
			diced++;
			name = f->name;
		}
	}
	if (blank >= 2)
		spam_find(g, SPAM_HEADER_BLANK, SLICE_NONE);
	if (diced > 0)
		spam_find(g, SPAM_HEADER_RANDOM, name);
	struct slice which;
	if (place_holder(g->field[SPAM_F_FROM], &which) ||
		(!g->list && place_holder(g->subject, &which)) ||
		place_holder(g->field[SPAM_F_TO], &which) ||
		place_holder(g->field[SPAM_F_REPLY_TO], &which))
		spam_find(g, SPAM_HEADER_TEMPLATE, which);
}

static void
claims(struct spam_gather *g)
{
	struct slice priority = g->field[SPAM_F_PRIORITY];
	if (!g->list && ((priority.n != 0 && (priority.p[0] == '1' || priority.p[0] == '2')) ||
				slice_eq_nocase(g->field[SPAM_F_IMPORTANCE], SLICE("high")) ||
				slice_eq_nocase(g->field[SPAM_F_MS_PRIORITY], SLICE("high"))))
		spam_find(g, SPAM_HEADER_PRIORITY, SLICE_NONE);
	struct slice precedence = g->field[SPAM_F_PRECEDENCE];
	if ((slice_eq_nocase(precedence, SLICE("bulk")) ||
		    slice_eq_nocase(precedence, SLICE("junk"))) &&
		!g->list && !g->there[SPAM_F_LIST_UNSUBSCRIBE])
		spam_find(g, SPAM_HEADER_BULK, precedence);
	if ((g->v->message->faults &
		    (MESSAGE_NOT_A_FIELD | MESSAGE_BAD_NAME | MESSAGE_DUPLICATE)) != 0)
		spam_find(g, SPAM_HEADER_FAULTS, g->v->message->fault_text);
	if (!spam_all_ascii(g->field[SPAM_F_FROM]))
		spam_find(g, SPAM_HEADER_EIGHT_BIT, SLICE("From"));
	else if (!spam_all_ascii(g->field[SPAM_F_SUBJECT]))
		spam_find(g, SPAM_HEADER_EIGHT_BIT, SLICE("Subject"));
}

void
spam_gather_header(struct spam_gather *g)
{
	message_id(g);
	whom(g);
	mail_program(g);
	leftovers(g);
	claims(g);
}
