/*
 * The words for what facts are, as `postern facts`, `check` and the manual print them. One
 * table for each enum, in its order.
 */
#include "policy/fact.h"

#include "base/must.h"

const char *
fact_stage_text(enum fact_stage s)
{
	static const char *const words[] = {
		"connect", "helo", "mail", "rcpt", "data", "header", "body"};
	must((size_t)s < STAGE_COUNT);
	return words[s];
}

const char *
fact_type_text(enum fact_type t)
{
	switch (t) {
	case FACT_FLAG: return "flag";
	case FACT_NUMBER: return "number";
	case FACT_TEXT: return "text";
	case FACT_DOMAIN: return "domain";
	case FACT_ADDRESS: return "address";
	case FACT_IP: return "IP address";
	case FACT_WORD: return "word";
	case FACT_LIST_TEXT: return "list of texts";
	case FACT_LIST_DOMAIN: return "list of domains";
	case FACT_LIST_ADDRESS: return "list of addresses";
	case FACT_LIST_NUMBER: return "list of numbers";
	case FACT_LIST_FLAG: return "list of flags";
	}
	must(false && "a type");
	return "";
}

const char *
fact_scope_text(enum fact_scope s)
{
	switch (s) {
	case SCOPE_SESSION: return "session";
	case SCOPE_HELO: return "greeting";
	case SCOPE_MAIL: return "mail";
	case SCOPE_RECIPIENT: return "recipient";
	}
	must(false && "a scope");
	return "";
}

const char *
fact_cost_text(enum fact_cost c)
{
	switch (c) {
	case COST_FREE: return "free";
	case COST_CHEAP: return "cheap";
	case COST_RESERVE: return "reservation";
	case COST_DEAR: return "dear";
	}
	must(false && "a cost");
	return "";
}
