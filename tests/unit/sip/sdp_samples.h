/*
 * sdp_samples - session descriptions as peers send them, shared by the SDP
 * unit tests. Line ends are CRLF unless a test is about something else.
 *
 * Layer: tests.
 */
#ifndef TESTS_UNIT_SIP_SDP_SAMPLES_H
#define TESTS_UNIT_SIP_SDP_SAMPLES_H

/* A CUCM trunk. */
#define SDP_CUCM                                                               \
	"v=0\r\n"                                                              \
	"o=CiscoSystemsCCM-SIP 2000 1 IN IP4 10.10.0.50\r\n"                   \
	"s=SIP Call\r\n"                                                       \
	"c=IN IP4 10.10.0.51\r\n"                                              \
	"b=TIAS:64000\r\n"                                                     \
	"b=AS:64\r\n"                                                          \
	"t=0 0\r\n"                                                            \
	"m=audio 24596 RTP/AVP 0 8 18 101\r\n"                                 \
	"b=TIAS:64000\r\n"                                                     \
	"a=ptime:20\r\n"                                                       \
	"a=rtpmap:0 PCMU/8000\r\n"                                             \
	"a=rtpmap:8 PCMA/8000\r\n"                                             \
	"a=rtpmap:18 G729/8000\r\n"                                            \
	"a=fmtp:18 annexb=no\r\n"                                              \
	"a=rtpmap:101 telephone-event/8000\r\n"                                \
	"a=fmtp:101 0-15\r\n"

#define TEAMS_KEY  "ecHoGqjf2yqQsYbV5gyhQRGYsZmKiqRXJbQJkTFh"
#define TEAMS_KEY2 "AbCdGqjf2yqQsYbV5gyhQRGYsZmKiqRXJbQJkTFh"
#define TEAMS_CANDIDATE(n, a, p)                                               \
	"a=candidate:" n " 1 UDP 2130706431 " a " " p " typ srflx raddr "      \
	"10.0.136.5 rport " p "\r\n"                                           \
	"a=candidate:" n " 2 UDP 2130705918 " a " " p " typ srflx raddr "      \
	"10.0.136.5 rport " p "\r\n"

/* Teams Direct Routing with ICE: over 1500 bytes. */
#define SDP_TEAMS                                                                                      \
	"v=0\r\n"                                                                                      \
	"o=- 160922 0 IN IP4 127.0.0.1\r\n"                                                            \
	"s=session\r\n"                                                                                \
	"c=IN IP4 52.114.188.11\r\n"                                                                   \
	"b=CT:10000000\r\n"                                                                            \
	"t=0 0\r\n"                                                                                    \
	"m=audio 50012 RTP/SAVP 104 9 103 111 18 0 8 97 101 13 118\r\n"                                \
	"c=IN IP4 52.114.188.11\r\n"                                                                   \
	"a=rtcp:50013\r\n"                                                                             \
	"a=ice-ufrag:9PTY\r\n"                                                                         \
	"a=ice-pwd:sGQPNO9Qkz3uJ0EMzu+vfCzA\r\n"                                                       \
	"a=rtcp-mux\r\n" TEAMS_CANDIDATE(                                                              \
		"1", "52.114.188.11",                                                                  \
		"50012") TEAMS_CANDIDATE("2", "52.114.188.12", "50014")                                \
		TEAMS_CANDIDATE("3", "52.114.188.13", "50016") TEAMS_CANDIDATE(                        \
			"4", "2603:1037:0:e::8",                                                       \
			"50018") "a=remote-candidates:1 52.114.188.11 50012 2 52.114.188.11 50013\r\n" \
				 "a=label:main-audio\r\n"                                              \
				 "a=mid:1\r\n"                                                         \
				 "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" TEAMS_KEY                \
				 "|2^31\r\n"                                                           \
				 "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" TEAMS_KEY2               \
				 "|2^31|1:1\r\n"                                                       \
				 "a=sendrecv\r\n"                                                      \
				 "a=rtpmap:104 SILK/16000\r\n"                                         \
				 "a=rtpmap:9 G722/8000\r\n"                                            \
				 "a=rtpmap:103 SILK/8000\r\n"                                          \
				 "a=rtpmap:111 SIREN/16000\r\n"                                        \
				 "a=fmtp:111 bitrate=16000\r\n"                                        \
				 "a=rtpmap:18 G729/8000\r\n"                                           \
				 "a=fmtp:18 annexb=no\r\n"                                             \
				 "a=rtpmap:0 PCMU/8000\r\n"                                            \
				 "a=rtpmap:8 PCMA/8000\r\n"                                            \
				 "a=rtpmap:97 RED/8000\r\n"                                            \
				 "a=rtpmap:101 telephone-event/8000\r\n"                               \
				 "a=fmtp:101 0-16\r\n"                                                 \
				 "a=rtpmap:13 CN/8000\r\n"                                             \
				 "a=rtpmap:118 CN/16000\r\n"                                           \
				 "a=ptime:20\r\n"

/* Hold as RFC 2543 had it. */
#define SDP_HOLD                                                               \
	"v=0\r\n"                                                              \
	"o=phone 1 2 IN IP4 10.10.0.52\r\n"                                    \
	"s=-\r\n"                                                              \
	"c=IN IP4 0.0.0.0\r\n"                                                 \
	"t=0 0\r\n"                                                            \
	"m=audio 30000 RTP/AVP 8\r\n"                                          \
	"a=rtpmap:8 PCMA/8000\r\n"

#define SDP_V6                                                                 \
	"v=0\r\n"                                                              \
	"o=- 3 3 IN IP6 fd00:10::50\r\n"                                       \
	"s=-\r\n"                                                              \
	"t=0 0\r\n"                                                            \
	"m=audio 6000 RTP/AVP 0\r\n"                                           \
	"c=IN IP6 fd00:10::51\r\n"                                             \
	"a=rtcp:6005 IN IP6 FD00:10:0:0:0:0:0:52\r\n"

/* Audio, rejected video, T.38, a second audio; things to keep and to hide. */
#define SDP_MULTI                                                              \
	"v=0\r\n"                                                              \
	"o=mx 7 7 IN IP4 10.10.0.53\r\n"                                       \
	"s=conference\r\n"                                                     \
	"i=seen from 10.10.0.53\r\n"                                           \
	"u=http://10.10.0.53/\r\n"                                             \
	"e=admin@pbx.example.net\r\n"                                          \
	"p=+1 555 0100\r\n"                                                    \
	"c=IN IP4 10.10.0.53\r\n"                                              \
	"t=0 0\r\n"                                                            \
	"z=2882844526 -1h\r\n"                                                 \
	"k=prompt\r\n"                                                         \
	"a=group:BUNDLE 1 2\r\n"                                               \
	"a=X-nat:10.10.0.53\r\n"                                               \
	"a=X-host:PBX.example.NET\r\n"                                         \
	"a=X-other:10.77.0.1\r\n"                                              \
	"a=X-fine:yes\r\n"                                                     \
	"y=0100000001\r\n"                                                     \
	"m=audio 40000/2 RTP/AVP 0 101\r\n"                                    \
	"i=the agent's microphone\r\n"                                         \
	"b=TIAS:64000\r\n"                                                     \
	"b=RR:0\r\n"                                                           \
	"a=rtcp:40001 IN IP4 10.10.0.54\r\n"                                   \
	"a=rtpmap:101 telephone-event/8000\r\n"                                \
	"a=rtcp-xr:voip-metrics\r\n"                                           \
	"a=source-filter: incl IN IP4 * 10.10.0.55\r\n"                        \
	"m=video 0 RTP/AVP 96\r\n"                                             \
	"c=IN IP4 10.10.0.53\r\n"                                              \
	"a=rtpmap:96 H264/90000\r\n"                                           \
	"m=image 40010 udptl t38\r\n"                                          \
	"a=T38FaxVersion:0\r\n"                                                \
	"m=audio 40020 RTP/AVPF 8\r\n"                                         \
	"c=IN IP4 10.10.0.56\r\n"                                              \
	"a=recvonly\r\n"

/* Froze the parser of a well-known stack until memory ran out. */
#define SDP_ENDLESS                                                            \
	"v=0\r\n"                                                              \
	"o=- 1 1 IN IP4 10.10.0.50\r\n"                                        \
	"s=-\r\n"                                                              \
	"c=IN IP4 10.10.0.50\r\n"                                              \
	"t=0 0\r\n"                                                            \
	"m=audio 5 X/Y =6\r\n"

#endif
