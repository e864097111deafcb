/*
 * stack - the SIP stack's headers with our types as its contexts. Included
 * by the files of sip/ that see the stack, and by nothing else.
 *
 * Layer: sip, private to it.
 */
#ifndef SBCD_SIP_STACK_H
#define SBCD_SIP_STACK_H

struct sip_worker;
struct sip_agent;
struct txn;

#define SU_ROOT_MAGIC_T	     struct sip_worker
#define SU_WAKEUP_ARG_T	     struct sip_worker
#define SU_TIMER_ARG_T	     struct sip_worker
#define NTA_AGENT_MAGIC_T    struct sip_agent
#define NTA_LEG_MAGIC_T	     struct sip_agent
#define NTA_INCOMING_MAGIC_T struct txn
#define NTA_OUTGOING_MAGIC_T struct txn

#include <sofia-sip/su.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_tagarg.h>
#include <sofia-sip/su_string.h>
#include <sofia-sip/msg_addr.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/msg_parser.h>
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_protos.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport.h>
#include <sofia-sip/tport_tag.h>

#endif
