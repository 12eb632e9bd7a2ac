package settings

// wireTests are what is to be written, and the calls that the reference gives for it
// (loadmaster.md 3 and 4). Each row is what a unit has, what it shall have and the
// calls, one to a line.
var wireTests = []struct {
	rule, before, after, calls string
}{
	{
		"parameters are set one by one: a switch as 1 or 0, and last; nothing unsets one; logging hosts are taken away by a parameter of their own",
		"parameters - motd=a ntphost=a,b snat=yes sysloginfo=10.1.1.1,10.1.1.2 syslogerror=10.1.1.3 wuitlsprotocols=3",
		"parameters - ntphost=b,c snat=no sysloginfo=10.1.1.2 syslogerror=10.1.1.3,10.1.1.4 wuitlsprotocols=7", `
set?param=syslognone&value=10.1.1.1
set?param=motd&value
set?param=ntphost&value=b c
set?param=syslogerror&value=10.1.1.3,10.1.1.4
set?param=sysloginfo&value=10.1.1.2
set?param=WUITLSProtocols&value=7
set?param=snat&value=0
`,
	},
	{
		"a logging host that moves to another level is not taken away", "parameters - sysloginfo=10.1.1.1", "parameters - syslogerror=10.1.1.1", `
set?param=syslogerror&value=10.1.1.1
`,
	},
	{"globals are set together", "health-globals - retryinterval=9 timeout=4", "health-globals - retryinterval=10 timeout=5", `
modhealth?RetryInterval=10&Timeout=5
`},
	{"adaptive globals", "adaptive-globals - adaptiveport=1", "adaptive-globals - adaptiveport=2", `
modadaptive?AdaptivePort=2
`},
	{"a host is added", "", "hosts 1.1.1.1 hostfqdn=a.example", `
addhostsentry?hostip=1.1.1.1&hostfqdn=a.example
`},
	{"a host is deleted and added, as nothing changes one", "hosts 1.1.1.1 fqdn=a.example", "hosts 1.1.1.1 fqdn=b.example", `
delhostsentry?hostip=1.1.1.1
addhostsentry?hostip=1.1.1.1&hostfqdn=b.example
`},
	{"a host is deleted", "hosts 1.1.1.1 hostfqdn=a.example", "", `
delhostsentry?hostip=1.1.1.1
`},
	{"a cipher set is made by being modified", "", "cipher-sets Ours value=A:B", `
modifycipherset?name=Ours&value=A:B
`},
	{"a cipher set is modified", "cipher-sets Ours value=A", "cipher-sets Ours value=A:B", `
modifycipherset?name=Ours&value=A:B
`},
	{"an intermediate certificate is uploaded", "", "intermediate-certificates ca certificate=PEM", `
addintermediate?cert=ca < PEM
`},
	{"and deleted before another one of its name", "intermediate-certificates ca certificate=PEM", "intermediate-certificates ca certificate=NEW", `
delintermediate?cert=ca
addintermediate?cert=ca < NEW
`},
	{"an intermediate certificate is deleted", "intermediate-certificates ca certificate=PEM", "", `
delintermediate?cert=ca
`},
	{"a certificate is deleted", "certificates web modulus=A", "", `
delcert?cert=web
`},
	{"a certificate of an authority is deleted", "acme-certificates 2_web acmetype=2", "", `
delacmecert?cert=web&acmetype=2
`},
	{"an endpoint is changed without its password", "ldap-endpoints ad server=a adminpass", "ldap-endpoints ad server=b adminpass", `
modifyldapendpoint?name=ad&server=b
`},
	{"an endpoint is deleted", "ldap-endpoints ad server=a", "", `
deleteldapendpoint?name=ad
`},
	{"a domain is changed", "sso-domains corp logon_fmt=a server=s", "sso-domains corp logon_fmt=b", `
moddomain?domain=corp&logon_fmt=b&server
`},
	{"a domain is deleted", "sso-domains corp server=s", "", `
deldomain?domain=corp
`},
	{"a group is added, and then given its permissions", "", "remote-groups admins perms=real,vs", `
groupaddremote?group=admins
groupsetperms?group=admins&perms=real,vs
`},
	{"permissions are set as a whole, none as nothing", "remote-groups admins perms=real", "remote-groups admins", `
groupsetperms?group=admins&perms
`},
	{"a group is deleted", "remote-groups admins", "", `
groupdelremote?group=admins
`},
	{"a user's permissions", "users ann perms=real", "users ann perms=real,vs", `
usersetperms?user=ann&perms=real,vs
`},
	{"a user is deleted", "users ann perms=real", "", `
userdellocal?user=ann
`},
	{"a file of rules is deleted", "waf-files a.conf", "", `
delwafcustomrule?filename=a.conf
`},
	{"a template is deleted", "templates web", "", `
deltemplate?name=web
`},
	{
		"a rule is added with the number of its type, and what its setter calls its fields", "",
		"content-rules r type=matchcontentrule addhost=N caseindependent=Y includequery=Y matchtype=regex pattern=^/a setflagonmatch=3", `
addrule?name=r&inchost=0&nocase=1&incquery=1&matchtype=regex&pattern=^/a&setonmatch=3&type=0
`,
	},
	{"a rule is always sent whole", "content-rules r type=addheaderrule header=A headervalue=x onlyonflag=1", "content-rules r type=addheaderrule header=A headervalue=y", `
modrule?name=r&header=A&replacement=y&type=1&onlyonflag
`},
	{"a rule may become one of another type", "content-rules r type=modifyurlrule pattern=a replacement=x", "content-rules r type=replacebodyrule pattern=a replacement=x", `
modrule?name=r&pattern=a&replacement=x&type=5
`},
	{"a rule is deleted", "content-rules r type=matchcontentrule pattern=a", "", `
delrule?name=r
`},
	{
		"a service is added in one call", "certificates a\ncertificates b",
		"certificates a\ncertificates b\nvirtual-services 10.0.0.20/*/tcp adaptiveinterval=9 certfile=a_b checkuse1.1=Y enable=N interceptopts=opblock|auditall nickname=web schedule=adaptive sslrewrite=2 vstype=http", `
addvs?vs=10.0.0.20&port=*&prot=tcp&AdaptiveInterval=9&CertFile=a b&CheckUse1.1=1&Enable=0&InterceptOpts=opblock;auditall&NickName=web&Schedule=adaptive&SSLRewrite=https&VStype=http
`,
	},
	{
		"a service is changed, and what it has no more is cleared", "virtual-services 10.0.0.20/443/tcp checkurl=/a persist=src persisttimeout=60 sslrewrite=1",
		"virtual-services 10.0.0.20/443/tcp persisttimeout=120", `
modvs?vs=10.0.0.20&port=443&prot=tcp&CheckUrl&Persist=none&PersistTimeout=120&SSLRewrite
`,
	},
	{
		"ciphers make the unit make a set, of which the name is its own", "virtual-services 10.0.0.20/443/tcp cipherset=Default",
		"virtual-services 10.0.0.20/443/tcp cipherset=@custom_A:B", `
modvs?vs=10.0.0.20&port=443&prot=tcp&Ciphers=A:B
`,
	},
	{"a named set replaces it", "virtual-services 10.0.0.20/443/tcp cipherset=@custom_A:B", "virtual-services 10.0.0.20/443/tcp cipherset=Default", `
modvs?vs=10.0.0.20&port=443&prot=tcp&CipherSet=Default
`},
	{"a service is deleted by its identity", "virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:80", "", `
delvs?vs=10.0.0.20&port=443&prot=tcp
`},
	{
		"a service within one is made without a name, found by its number, and set; its entry is set as of a real server",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services other nickname=other",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services other nickname=other\n  sub-services web nickname=web checkurl=/ member.weight=7", `
modvs?vs=10.0.0.20&port=443&prot=tcp&createsubvs
modvs?vs=15&CheckUrl=/&NickName=web
modrs?vs=10.0.0.20&port=443&prot=tcp&rs=!14&weight=7
`,
	},
	{
		"one without a name is not taken for it, nor a real server of the number that it gets",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services --\n  real-servers 10.1.1.1:80",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services --\n  sub-services web nickname=web\n  real-servers 10.1.1.1:80", `
modvs?vs=10.0.0.20&port=443&prot=tcp&createsubvs
modvs?vs=16&NickName=web
`,
	},
	{
		"a service within one is changed by its number", "virtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web checkurl=/ member.enable=Y",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web member.enable=N", `
modvs?vs=13&CheckUrl
modrs?vs=10.0.0.20&port=443&prot=tcp&rs=!12&enable=0
`,
	},
	{"a service within one is deleted by its number", "virtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web", "virtual-services 10.0.0.20/443/tcp", `
delvs?vs=13
`},
	{
		"a real server is added, wherever it lies", "virtual-services 10.0.0.20/443/tcp",
		"virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:8080 weight=7 enable=Y", `
addrs?vs=10.0.0.20&port=443&prot=tcp&rs=10.1.1.1&rsport=8080&non_local=1&enable=1&weight=7
`,
	},
	{
		"a real server is changed by its address and port", "virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:8080 weight=7",
		"virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:8080 weight=8", `
modrs?vs=10.0.0.20&port=443&prot=tcp&rs=10.1.1.1&rsport=8080&weight=8
`,
	},
	{
		"one with a name is changed by its number", "virtual-services 10.0.0.20/443/tcp\n  real-servers web.example:8080 weight=7",
		"virtual-services 10.0.0.20/443/tcp\n  real-servers web.example:8080 weight=8", `
modrs?vs=10.0.0.20&port=443&prot=tcp&rs=!12&weight=8
`,
	},
	{
		"one in a service within another is deleted by that one's number", "virtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web\n    real-servers fe80::1:80",
		"virtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web", `
delrs?vs=13&rs=fe80::1&rsport=80
`,
	},
	{
		"rules are taken off, added at the end, and put in their order", "content-rules a\ncontent-rules b\ncontent-rules c\nvirtual-services 10.0.0.20/443/tcp requestrules=a|b",
		"content-rules a\ncontent-rules b\ncontent-rules c\nvirtual-services 10.0.0.20/443/tcp requestrules=c|b", `
delrequestrule?vs=10.0.0.20&port=443&prot=tcp&rule=a
addrequestrule?vs=10.0.0.20&port=443&prot=tcp&rule=c
modvs?vs=10.0.0.20&port=443&prot=tcp&RequestPrecedence=c&RequestPrecedencePos=1
`,
	},
	{"the stage of matching", "content-rules a\nvirtual-services 10.0.0.20/443/tcp", "content-rules a\nvirtual-services 10.0.0.20/443/tcp matchrules=a", `
addprerule?vs=10.0.0.20&port=443&prot=tcp&rule=a
`},
	{"the stage of answers", "content-rules a\nvirtual-services 10.0.0.20/443/tcp responserules=a", "content-rules a\nvirtual-services 10.0.0.20/443/tcp", `
delresponserule?vs=10.0.0.20&port=443&prot=tcp&rule=a
`},
	{"the stage of bodies", "content-rules a\ncontent-rules b\nvirtual-services 10.0.0.20/443/tcp matchbodyrules=a|b", "content-rules a\ncontent-rules b\nvirtual-services 10.0.0.20/443/tcp matchbodyrules=b|a", `
modvs?vs=10.0.0.20&port=443&prot=tcp&MatchBodyPrecedence=b&MatchBodyPrecedencePos=1
`},
	{
		"rules of a real server are bound anew from where their order ends", "content-rules a\ncontent-rules b\ncontent-rules c\nvirtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:80 matchrules=a|b",
		"content-rules a\ncontent-rules b\ncontent-rules c\nvirtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:80 matchrules=a|c|b", `
delrsrule?vs=10.0.0.20&port=443&prot=tcp&rs=!12&rule=b
addrsrule?vs=10.0.0.20&port=443&prot=tcp&rs=!12&rule=c
addrsrule?vs=10.0.0.20&port=443&prot=tcp&rs=!12&rule=b
`,
	},
	{
		"rules of a service within one are bound to its entry", "content-rules a\nvirtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web",
		"content-rules a\nvirtual-services 10.0.0.20/443/tcp\n  sub-services web nickname=web member.matchrules=a", `
addrsrule?vs=10.0.0.20&port=443&prot=tcp&rs=!12&rule=a
`,
	},
	{
		"a service follows another one by that one's number", "virtual-services 10.0.0.20/443/tcp\nvirtual-services 10.0.0.20/80/tcp",
		"virtual-services 10.0.0.20/443/tcp\nvirtual-services 10.0.0.20/80/tcp followvsid=10.0.0.20/443/tcp", `
modvs?vs=10.0.0.20&port=80&prot=tcp&FollowVSID=11
`,
	},
	{
		"and no more", "virtual-services 10.0.0.20/443/tcp\nvirtual-services 10.0.0.20/80/tcp followvsid=10.0.0.20/443/tcp",
		"virtual-services 10.0.0.20/443/tcp\nvirtual-services 10.0.0.20/80/tcp", `
modvs?vs=10.0.0.20&port=80&prot=tcp&FollowVSID=0
`,
	},
	{
		"a real server follows another one of its service", "virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:80\n  real-servers 10.1.1.2:80",
		"virtual-services 10.0.0.20/443/tcp\n  real-servers 10.1.1.1:80\n  real-servers 10.1.1.2:80 follow=10.1.1.1:80", `
modrs?vs=10.0.0.20&port=443&prot=tcp&rs=10.1.1.2&rsport=80&follow=12
`,
	},
	{
		"a rule of a rule set is switched off, and both switches said", "virtual-services 10.0.0.20/443/tcp\nowasp-rules 10.0.0.20/443/tcp_913100 enabled=yes runfirst=no",
		"virtual-services 10.0.0.20/443/tcp\nowasp-rules 10.0.0.20/443/tcp_913100 enabled=no runfirst=no", `
owasprules?vs=10.0.0.20&port=443&prot=tcp&rule=913100&enable=no&runfirst=0
`,
	},
	{"the packet filter has a call for each switch", "packet-filter - aclstatus=no aclmethod=0", "packet-filter - aclstatus=yes aclmethod=1", `
aclcontrol?drop=1
aclcontrol?enable=1
`},
	{"an entry is added to a list", "", "access-lists block_10.9.0.0/16 comment=bad_ones", `
aclcontrol?add=block&addr=10.9.0.0/16&comment=bad ones
`},
	{"an entry is deleted and added, as nothing changes one", "access-lists allow_10.9.0.0/16 comment=a", "access-lists allow_10.9.0.0/16", `
aclcontrol?del=allow&addr=10.9.0.0/16
aclcontrol?add=allow&addr=10.9.0.0/16
`},
	{"an entry is deleted", "access-lists allow_10.9.0.0/16", "", `
aclcontrol?del=allow&addr=10.9.0.0/16
`},
	{"an entry is added to a list of a service", "virtual-services 10.0.0.20/443/tcp", "virtual-services 10.0.0.20/443/tcp\nservice-access-lists 10.0.0.20/443/tcp_block_10.9.0.0/16", `
aclcontrol?addvs=block&vsip=10.0.0.20&vsport=443&vsprot=tcp&addr=10.9.0.0/16
`},
	{
		"one of a service is deleted and added", "virtual-services 10.0.0.20/443/tcp\nservice-access-lists 10.0.0.20/443/tcp_block_10.9.0.0/16 comment=a",
		"virtual-services 10.0.0.20/443/tcp\nservice-access-lists 10.0.0.20/443/tcp_block_10.9.0.0/16 comment=b", `
aclcontrol?delvs=block&vsip=10.0.0.20&vsport=443&vsprot=tcp&addr=10.9.0.0/16
aclcontrol?addvs=block&vsip=10.0.0.20&vsport=443&vsprot=tcp&addr=10.9.0.0/16&comment=b
`,
	},
	{"one of a service is deleted", "virtual-services 10.0.0.20/443/tcp\nservice-access-lists 10.0.0.20/443/tcp_allow_10.9.0.0/16", "virtual-services 10.0.0.20/443/tcp", `
aclcontrol?delvs=allow&vsip=10.0.0.20&vsport=443&vsprot=tcp&addr=10.9.0.0/16
`},
	{"a limit of connections is added", "", "client-connection-limits 10.2.0.0/16 limit=5", `
clientmaxclimitadd?l7addr=10.2.0.0/16&l7limit=5
`},
	{"and deleted and added", "client-connection-limits 10.2.0.0/16 limit=5", "client-connection-limits 10.2.0.0/16 limit=6", `
clientmaxclimitdel?l7addr=10.2.0.0/16
clientmaxclimitadd?l7addr=10.2.0.0/16&l7limit=6
`},
	{"and deleted", "client-connection-limits 10.2.0.0/16 limit=5", "", `
clientmaxclimitdel?l7addr=10.2.0.0/16
`},
	{"a limit of rates is added", "", "client-rate-limits 10.2.0.0/16 l7limit=5", `
clientcpslimitadd?l7addr=10.2.0.0/16&l7limit=5
`},
	{"a limit of rates is changed", "client-rate-limits 10.2.0.0/16 l7limit=5", "client-rate-limits 10.2.0.0/16 l7limit=6", `
clientcpslimitdel?l7addr=10.2.0.0/16
clientcpslimitadd?l7addr=10.2.0.0/16&l7limit=6
`},
	{"a limit of rates is deleted", "client-rate-limits 10.2.0.0/16 l7limit=5", "", `
clientcpslimitdel?l7addr=10.2.0.0/16
`},
	{"a limit of requests is added", "", "client-request-limits 10.2.0.0/16 limit=5", `
clientrpslimitadd?l7addr=10.2.0.0/16&l7limit=5
`},
	{"a limit of requests is changed", "client-request-limits 10.2.0.0/16 limit=5", "client-request-limits 10.2.0.0/16 limit=6", `
clientrpslimitdel?l7addr=10.2.0.0/16
clientrpslimitadd?l7addr=10.2.0.0/16&l7limit=6
`},
	{"a limit of requests is deleted", "client-request-limits 10.2.0.0/16 limit=5", "", `
clientrpslimitdel?l7addr=10.2.0.0/16
`},
	{"a limit of bandwidth is added", "", "client-bandwidth-limits 10.2.0.0/16 limit=5", `
clientbandwidthlimitadd?l7addr=10.2.0.0/16&l7limit=5
`},
	{"a limit of bandwidth is changed", "client-bandwidth-limits 10.2.0.0/16 limit=5", "client-bandwidth-limits 10.2.0.0/16 limit=6", `
clientbandwidthlimitdel?l7addr=10.2.0.0/16
clientbandwidthlimitadd?l7addr=10.2.0.0/16&l7limit=6
`},
	{"a limit of bandwidth is deleted", "client-bandwidth-limits 10.2.0.0/16 limit=5", "", `
clientbandwidthlimitdel?l7addr=10.2.0.0/16
`},
	{"a limiting rule is added", "", "limit-rules slow pattern=/slow limit=5 match=1", `
addlimitrule?name=slow&limit=5&match=1&pattern=/slow
`},
	{"a limiting rule is changed", "limit-rules slow limit=5", "limit-rules slow limit=6", `
modlimitrule?name=slow&limit=6
`},
	{"a limiting rule is deleted", "limit-rules slow limit=5", "", `
dellimitrule?name=slow
`},
	{"a cluster is added with address and name, and then set by address and number", "", "geo-clusters far ipaddress=172.24.1.7 type=remoteLM locationlatitude=3600", `
addcluster?ip=172.24.1.7&name=far
modcluster?ip=172.24.1.7&id=11&type=remoteLM
clustchangeloc?ip=172.24.1.7&latsecs=3600&longsecs=0
`},
	{"a cluster is changed", "geo-clusters far ipaddress=172.24.1.7 enable=Y checkerport=0", "geo-clusters far ipaddress=172.24.1.7 enable=N checkerport=80", `
modcluster?ip=172.24.1.7&id=11&checkerport=80&enable=0
`},
	{"a cluster is deleted", "geo-clusters far ipaddress=172.24.1.7", "", `
delcluster?ip=172.24.1.7&id=11
`},
	{"a custom location is added", "", "geo-custom-locations Attic", `
addcustomlocation?location=Attic
`},
	{"a custom location is deleted by an argument of another name", "geo-custom-locations Attic", "", `
deletecustomlocation?clName=Attic
`},
	{"a range is added, and then placed", "", "geo-ip-ranges 10.7.0.0/16 country=DE locationlatitude=10 locationlongitude=20", `
addip?ip=10.7.0.0/16
addipcountry?ip=10.7.0.0/16&countrycode=DE
modiploc?ip=10.7.0.0/16&lat=10&long=20
`},
	{"a range gets another place", "geo-ip-ranges 10.7.0.0/16 country=DE locationlatitude=10 locationlongitude=20", "geo-ip-ranges 10.7.0.0/16 customlocation=Attic", `
removeipcountry?ip=10.7.0.0/16&countrycode=DE
addipcountry?ip=10.7.0.0/16&customloc=Attic
deliploc?ip=10.7.0.0/16
`},
	{"a range is deleted", "geo-ip-ranges 10.7.0.0/16", "", `
delip?ip=10.7.0.0/16
`},
	{"an allowed network is added", "", "geo-allow-list 10.6.0.0/16", `
geoacl/addcustom?addr=10.6.0.0/16
`},
	{"an allowed network is deleted", "geo-allow-list 10.6.0.0/16", "", `
geoacl/removecustom?addr=10.6.0.0/16
`},
	{"a name is added, and then set: its time to fail in minutes", "", "geo-fqdns www.example.com failtime=180 selectioncriteria=wrr", `
addfqdn?fqdn=www.example.com
modfqdn?fqdn=www.example.com&FailTime=3&SelectionCriteria=wrr
`},
	{"a name is changed", "geo-fqdns www.example.com failover=N", "geo-fqdns www.example.com failover=Y", `
modfqdn?fqdn=www.example.com&failover=1
`},
	{"a name is deleted", "geo-fqdns www.example.com", "", `
delfqdn?fqdn=www.example.com
`},
	{
		"a map is added with its cluster, and then set by what sets it", "geo-clusters far ipaddress=172.24.1.7\ngeo-fqdns www.example.com",
		"geo-clusters far ipaddress=172.24.1.7\ngeo-fqdns www.example.com\n  geo-maps 172.24.1.50 checker=tcp checkeraddr=1.1.1.1 checkerport=80 cluster=far country=DE mappedport=* weight=7 locationlongitude=5", `
addmap?fqdn=www.example.com&ip=172.24.1.50&clust=far
addcountry?fqdn=www.example.com&ip=172.24.1.50&iscontinent=no&countrycode=DE
modmap?fqdn=www.example.com&ip=172.24.1.50&checker=tcp&cluster=12&mapport=2&weight=7
changecheckeraddr?fqdn=www.example.com&ip=172.24.1.50&checkerip=1.1.1.1&port=80
changemaploc?fqdn=www.example.com&ip=172.24.1.50&lat=0&long=5
`,
	},
	{
		"a map gets another cluster by that one's number", "geo-clusters far ipaddress=172.24.1.7\ngeo-fqdns www.example.com\n  geo-maps 172.24.1.50",
		"geo-clusters far ipaddress=172.24.1.7\ngeo-fqdns www.example.com\n  geo-maps 172.24.1.50 cluster=far", `
modmap?fqdn=www.example.com&ip=172.24.1.50&cluster=12
`,
	},
	{"the service of a mapping is set with its name", "geo-fqdns www.example.com\n  geo-maps 172.24.1.50 mappedaddress=1.1.1.1 mappedport=80", "geo-fqdns www.example.com\n  geo-maps 172.24.1.50 mappedaddress=1.1.1.1 mappedport=80 mappedname=web", `
geochangecheckermapping?fqdn=www.example.com&fqdnip=172.24.1.50&remvip=1.1.1.1&remport=80&remname=web
`},
	{"a map is deleted", "geo-fqdns www.example.com\n  geo-maps 172.24.1.50", "geo-fqdns www.example.com", `
delmap?fqdn=www.example.com&ip=172.24.1.50
`},
	{"a record is added with its value", "geo-fqdns www.example.com", "geo-fqdns www.example.com\n  geo-records txt_hello rdata=hello type=txt", `
addrr?fqdn=www.example.com&type=txt&rdata=hello
`},
	{"a record is changed by its number", "geo-fqdns www.example.com\n  geo-records mx_mail priority=5 rdata=mail type=mx", "geo-fqdns www.example.com\n  geo-records mx_mail priority=6 rdata=mail type=mx", `
modrr?fqdn=www.example.com&type=mx&id=11&param=priority&value=6
`},
	{"a record is deleted by its number", "geo-fqdns www.example.com\n  geo-records cname_a rdata=a type=cname", "geo-fqdns www.example.com", `
delrr?fqdn=www.example.com&type=cname&id=11
`},
	{"parameters of GEO are set together", "geo-parameters - zone=a ttl=10", "geo-parameters - zone=b ttl=20", `
modparams?TTL=20&zone=b
`},
}
