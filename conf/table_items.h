/*
 * Items into a table, one by one, for tables.c. Look-ups are conf.h's: conf_table_look.
 */
#ifndef CONF_TABLE_ITEMS_H
#define CONF_TABLE_ITEMS_H

#include "base/err.h"
#include "base/must.h"
#include "conf/parse_priv.h"

/* A table while it is read: its networks become a set when all are known. */
struct table_building {
	struct conf_table *table;
	struct ip_net *nets;
};

/* Both: -1 and err where it is nothing that can be looked up. */
int table_item(struct parser *p, struct table_building *b, struct slice item, struct err *err);
int table_item_regex(struct parser *p, struct table_building *b, struct slice regex,
	struct slice flags, struct err *err);
/* A line of a file that begins with /: "/.../i", and a comment. False: it is none. */
bool table_item_line(struct slice line, struct slice *regex_out, struct slice *flags_out);
void table_items_done(struct parser *p, struct table_building *b);

#endif
