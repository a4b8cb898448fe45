/*
 * The texts of actions: what goes on the wire or into a header must be well formed before a
 * mail needs it, and `sign` without a key would leave mails unsigned and nobody the wiser.
 */
#include "policy/policy_priv.h"
#include "smtp/reply.h"

enum {
	REPLY_MOST = 400,
	HEADER_NAME_MOST = 70,
	QUARANTINE_NAME_MOST = 64,
	HEADER_MOST = 900, /* RFC 5322 2.1.1: a line has at most 998 bytes */
};

static void
check_reply(struct compile *c, const struct rule *r)
{
	struct smtp_reply reply;
	int class = r->action == ACTION_REJECT ? 5 : 4;
	if (r->text.n == 0)
		return;
	if (r->text.n > REPLY_MOST)
		conf_error(c->report, r->at, "a reply is at most %d bytes long", REPLY_MOST);
	else if (!smtp_reply_parse_text(r->text, &reply) || reply.text.n == 0)
		conf_error(c->report, r->at,
			"\"%.*s\" is no reply: write \"%s text\", both codes of one class",
			SLICE_ARG(r->text), class == 5 ? "550 5.7.1" : "451 4.7.1");
	else if (smtp_reply_class(&reply) != class)
		conf_error(c->report, r->at, "%s wants a %dxx reply, and \"%.*s\" is %d",
			action_text(r->action), class, SLICE_ARG(r->text), reply.code);
}

/* RFC 5322 2.2: printable ASCII but for the colon. */
static bool
is_field_name(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return name.n != 0 && name.n <= HEADER_NAME_MOST;
}

static void
check_tag(struct compile *c, const struct rule *r)
{
	struct slice name, value;
	if (!slice_cut(r->text, ':', &name, &value) || !is_field_name(name)) {
		conf_error(c->report, r->at,
			"a tag is a header's name, a colon and its value, as in \"X-Name: "
			"value\"");
		return;
	}
	if (r->text.n > HEADER_MOST)
		conf_error(c->report, r->at, "a tag is at most %d bytes long", HEADER_MOST);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] >= ' ' && value.p[i] <= '~')
			continue;
		conf_error(c->report, r->at, "the value of a tag is printable ASCII");
		return;
	}
}

static void
check_sign(struct compile *c, const struct rule *r)
{
	for (size_t i = 0; i < c->conf->n_signs; i++)
		if (r->text.n == 0 || slice_eq_nocase(c->conf->signs[i].domain, r->text))
			return;
	if (r->text.n != 0)
		conf_error(c->report, r->at,
			"there is no key to sign as \"%.*s\": add sign \"%.*s\" selector "
			"\"NAME\" key \"FILE\"",
			SLICE_ARG(r->text), SLICE_ARG(r->text));
	else
		conf_error(c->report, r->at,
			"there is no key to sign with: add sign \"DOMAIN\" selector \"NAME\" "
			"key \"FILE\"");
}

/* It names a place that people look into and commands ask for. */
static void
check_quarantine(struct compile *c, const struct rule *r)
{
	bool right = r->text.n <= QUARANTINE_NAME_MOST;
	for (size_t i = 0; i < r->text.n; i++) {
		char b = r->text.p[i];
		right = right && (ascii_alpha(b) || ascii_digit(b) || b == '-' || b == '_' ||
					 (b == '.' && i != 0));
	}
	if (!right)
		conf_error(c->report, r->at,
			"\"%.*s\" is no name of a quarantine: letters, digits, \"-\", \"_\" "
			"and "
			"\".\", at most %d, not \".\" first",
			SLICE_ARG(slice_first(r->text, 80)), QUARANTINE_NAME_MOST);
}

/* Mail that nobody judges again goes to servers that we know. */
static void
check_rcpt(struct compile *c, const struct rule *r)
{
	struct slice local, domain;
	slice_cut(slice_from(r->text, slice_find_last(r->text, '@')), '@', &local, &domain);
	if (conf_domain_find(c->conf, domain) == NULL)
		conf_error(c->report, r->at,
			"\"%s\" leads to \"%.*s\", which is none of the domains: add domain "
			"\"%.*s\"",
			action_text(r->action), SLICE_ARG(domain), SLICE_ARG(domain));
}

static void
check_append(struct compile *c, const struct rule *r)
{
	if (c->policy->direction == INBOUND)
		conf_error(c->report, r->at,
			"\"append text\" is for outbound mail: what comes in is signed by "
			"others "
			"and stays as it is; write it into the block outbound { ... }");
}

void
compile_action(struct compile *c, const struct rule *r)
{
	switch (r->action) {
	case ACTION_REJECT:
	case ACTION_DEFER: check_reply(c, r); break;
	case ACTION_TAG: check_tag(c, r); break;
	case ACTION_REMOVE_HEADER:
		if (!is_field_name(r->text))
			conf_error(c->report, r->at,
				"a header's name is printable ASCII without space and colon");
		break;
	case ACTION_SIGN: check_sign(c, r); break;
	case ACTION_QUARANTINE: check_quarantine(c, r); break;
	case ACTION_REDIRECT:
	case ACTION_COPY:
	case ACTION_NOTIFY: check_rcpt(c, r); break;
	case ACTION_APPEND: check_append(c, r); break;
	/* the parser has checked these, or refuses them by name until they are there */
	case ACTION_ACCEPT:
	case ACTION_DISCARD:
	case ACTION_HOLD:
	case ACTION_ROUTE:
	case ACTION_SEND_FROM:
	case ACTION_SCORE:
	case ACTION_LOG:
	case ACTION_COUNT: break;
	}
}
