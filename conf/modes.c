/*
 * `mode observe` and `mode soft`, for all listeners or for one: how a gateway stands in its
 * first weeks. What the modes do to a decision is in session/modes.c.
 */
#include "conf/parse_priv.h"

static const char *const modes[] = {"observe", "soft"};

static bool
parse_one(struct parser *p, enum conf_mode *mode_out)
{
	int i = parse_choice(p, "\"observe\" or \"soft\"", modes, 2);
	if (i >= 0)
		*mode_out = (enum conf_mode)(MODE_OBSERVE + i);
	return i >= 0;
}

bool
parse_mode(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_one(p, &((struct conf *)target)->mode);
}

bool
parse_listen_mode(struct parser *p, struct conf_at at, void *target)
{
	(void)at;
	return parse_one(p, &((struct conf_listener *)target)->mode);
}

const char *
conf_mode_text(enum conf_mode m)
{
	return m == MODE_RULES ? "rules" : modes[m - MODE_OBSERVE];
}

bool
conf_observes(const struct conf *c)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].mode == MODE_OBSERVE)
			return true;
	return false;
}
