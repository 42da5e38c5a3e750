"""Texts of transport: reaching a partner, certificates, sessions that end, the channel's rules."""

from psc.texts._text import Text

_REACH: dict[str, Text] = {
    "transport.bad-address": Text(
        "'{address}' is not an address.",
        "“{address}”不是有效的地址。",
        "Write it as host:port, for example courier.example.com:50051, or [::1]:50051.",
        "请写成 主机:端口，例如 courier.example.com:50051 或 [::1]:50051。",
    ),
    "transport.name-unknown": Text(
        "The host name {host} cannot be found.",
        "找不到主机名 {host}。",
        "Check the spelling in the partner's card and this machine's DNS.",
        "请检查合作方名片中的拼写以及本机的 DNS。",
    ),
    "transport.port-closed": Text(
        "Nothing listens at {address}.",
        "{address} 没有服务在监听。",
        "Ask the partner to start 'psc serve', and check host, port and firewall.",
        "请合作方启动 psc serve，并检查主机、端口和防火墙。",
    ),
    "transport.no-answer": Text(
        "{address} did not answer within {seconds} s.",
        "{address} 在 {seconds} 秒内没有应答。",
        "A firewall probably drops the packets: ask both networks' administrators to open the port.",
        "多半是防火墙丢弃了数据包：请双方网络管理员开放该端口。",
    ),
    "transport.unreachable": Text(
        "{address} cannot be reached: {reason}.",
        "无法到达 {address}：{reason}。",
        "Check the network, the route and the VPN.",
        "请检查网络、路由和 VPN。",
    ),
    "transport.proxy-refused": Text(
        "The proxy {proxy} does not let us through to {address}; it said {status}.",
        "代理 {proxy} 不允许连接到 {address}，它返回 {status}。",
        "Ask its administrator to allow CONNECT to this address, or set no_proxy for it.",
        "请代理管理员允许 CONNECT 到该地址，或为它设置 no_proxy。",
    ),
    "transport.no-connection": Text(
        "No connection to {address}: the port answers, but no call gets through ({reason}).",
        "无法与 {address} 建立连接：端口有应答，但调用不能通过（{reason}）。",
        "Run 'psc doctor' against this partner; a gateway that does not speak HTTP/2 end to end looks like this.",
        "请对该合作方运行 psc doctor；不能端到端传递 HTTP/2 的网关会造成这种现象。",
    ),
    "transport.deadline": Text(
        "{address} did not answer a call within {seconds} s.",
        "{address} 在 {seconds} 秒内没有回应调用。",
        "Try again; if it stays so, ask the partner whether its node is overloaded.",
        "请重试；如果仍然如此，请询问合作方其节点是否过载。",
    ),
    "transport.no-frame": Text(
        "The partner's node is there, but its side of the session did nothing for {seconds} s.",
        "合作方节点在线，但其会话在 {seconds} 秒内没有任何进展。",
        "Ask the partner whether its node is overloaded; raise limits.frame_seconds for very large sets.",
        "请询问合作方其节点是否过载；数据量极大时可提高 limits.frame_seconds。",
    ),
    "transport.plain-text-port": Text(
        "{address} does not speak TLS.",
        "{address} 不使用 TLS。",
        "Check the port. psc never talks plain text to a partner.",
        "请检查端口。psc 绝不以明文与合作方通信。",
    ),
    "transport.plain-text-not-allowed": Text(
        "Without TLS only this machine's loopback may be used, and only when asked for; {address} is not such a case.",
        "不使用 TLS 时只能用于本机回环地址，并且必须明确要求；{address} 不符合。",
        "Give certificates; for a test on this machine use 127.0.0.1 and ask for plain text.",
        "请提供证书；若只在本机测试，请使用 127.0.0.1 并明确要求明文。",
    ),
    "transport.tls-failed": Text(
        "The TLS handshake with {address} failed ({reason}).",
        "与 {address} 的 TLS 握手失败（{reason}）。",
        "Run 'psc doctor' against this partner; check that nothing between you changes the connection.",
        "请对该合作方运行 psc doctor；检查中间设备是否改动了连接。",
    ),
    "transport.tls-too-old": Text(
        "{address} offers only TLS versions older than 1.3.",
        "{address} 只提供低于 1.3 的 TLS 版本。",
        "A psc node always offers TLS 1.3: check that the address is the node itself and not a gateway in front of it.",
        "psc 节点总是提供 TLS 1.3：请确认该地址是节点本身，而不是它前面的网关。",
    ),
    "transport.not-a-node": Text(
        "What answers at this address is not a psc node.",
        "该地址上应答的不是 psc 节点。",
        "Check host and port; a gateway must pass HTTP/2 through.",
        "请检查主机和端口；网关必须透传 HTTP/2。",
    ),
    "transport.gateway-refused": Text(
        "A gateway before the partner's node refused the call ({status}).",
        "合作方节点前面的网关拒绝了调用（{status}）。",
        "Ask the partner to let calls of /psc.v1.PeerService through unchanged.",
        "请合作方原样放行 /psc.v1.PeerService 的调用。",
    ),
    "transport.cannot-listen": Text(
        "{address} cannot be listened on.",
        "无法在 {address} 上监听。",
        "Another program may hold the port, or the address is not this machine's: choose another with --listen.",
        "端口可能被其他程序占用，或该地址不属于本机：请用 --listen 换一个。",
    ),
    "transport.partner-not-waiting": Text(
        "The partner answers through our node, but is not connected to it now.",
        "该合作方通过我方节点应答，但现在没有连接。",
        "Check that our 'psc serve' runs, and ask the partner to run 'psc serve --via' us.",
        "请确认我方 psc serve 在运行，并请合作方以 psc serve --via 连接我方。",
    ),
    "transport.grpc-imported-first": Text(
        "gRPC was imported before psc in this process, so older TLS versions cannot be ruled out any more.",
        "本进程在导入 psc 之前已导入 gRPC，因此无法再排除旧版本 TLS。",
        "Import psc first, or set the environment variable {variable}={value} before the process starts.",
        "请先导入 psc，或在进程启动前设置环境变量 {variable}={value}。",
    ),
    "transport.limit-out-of-range": Text(
        "The limit {name} is {value}; it must lie from {low} to {high}.",
        "限制 {name} 的值为 {value}，必须在 {low} 到 {high} 之间。",
        "Change it in node.toml under [limits], or in the PSC_LIMITS__ variables.",
        "请在 node.toml 的 [limits] 或 PSC_LIMITS__ 变量中修改。",
    ),
    "transport.server-started-twice": Text(
        "This server was started before.",
        "该服务器已经启动过。",
        "Make a new one to listen again.",
        "要再次监听，请新建一个。",
    ),
}

_TRUST: dict[str, Text] = {
    "transport.certificate-not-pinned": Text(
        "The certificate at {address} ({names}) was not issued by the authority that the partner's card pins ({expected}).",
        "{address} 的证书（{names}）不是由合作方名片中固定的机构（{expected}）签发的。",
        "This is another node, or the partner changed its identity: get its new card by a trusted way and run 'psc trust'.",
        "要么这是另一个节点，要么合作方更换了身份：请通过可信途径取得新名片并运行 psc trust。",
    ),
    "transport.certificate-expired": Text(
        "The partner's certificate at {address} expired at {at}.",
        "合作方 {address} 的证书已于 {at} 过期。",
        "A running 'psc serve' renews it: ask the partner to restart it, and check this machine's clock.",
        "运行中的 psc serve 会自动续期：请合作方重启，并检查本机时钟。",
    ),
    "transport.certificate-not-yet-valid": Text(
        "The partner's certificate at {address} is valid only from {at}.",
        "合作方 {address} 的证书从 {at} 起才有效。",
        "One of the two clocks is wrong: compare both with UTC.",
        "双方时钟之一不准：请都与 UTC 比对。",
    ),
    "transport.certificate-wrong-name": Text(
        "The certificate at {address} carries the names {names} instead of {expected}.",
        "{address} 的证书名称为 {names}，而不是 {expected}。",
        "The address belongs to another node of the same authority: check it in the partner's card.",
        "该地址属于同一机构的另一个节点：请在合作方名片中核对。",
    ),
    "transport.gateway-ends-tls": Text(
        "Something between us and the partner ends TLS at {address}: it shows a certificate of '{issuer}' for {names}.",
        "我方与合作方之间有设备在 {address} 终止了 TLS：它出示由“{issuer}”签发给 {names} 的证书。",
        "Ask for a layer-4 pass-through (TCP or SNI) to the node: a session must be encrypted from node to node.",
        "请要求到节点的四层透传（TCP 或 SNI）：会话必须在节点之间端到端加密。",
    ),
    "transport.own-certificate-expired": Text(
        "Our own certificate expired at {at}.",
        "我方证书已于 {at} 过期。",
        "Run any psc command again to renew it; with a company authority ask for a new one. Check the clock.",
        "再次运行 psc 命令即可续期；若使用公司 CA，请申请新证书。并检查时钟。",
    ),
    "transport.own-certificate-not-yet-valid": Text(
        "Our own certificate is valid only from {at}.",
        "我方证书从 {at} 起才有效。",
        "Check this machine's clock.",
        "请检查本机时钟。",
    ),
    "transport.own-key-mismatch": Text(
        "Our own certificate belongs to another private key.",
        "我方证书与私钥不匹配。",
        "Check tls.certificate and tls.key in node.toml.",
        "请检查 node.toml 中的 tls.certificate 和 tls.key。",
    ),
    "transport.own-certificate-refused": Text(
        "The node at {address} does not accept our certificate ({reason}).",
        "{address} 的节点不接受我方证书（{reason}）。",
        "Send the partner our card (psc card); it must run 'psc trust' with it. If it did, compare both clocks.",
        "请把我方名片（psc card）发给合作方，由其运行 psc trust；若已完成，请比对双方时钟。",
    ),
    "transport.not-trusted-there": Text(
        "The partner's node does not accept us: it does not know our identity, or the identity's signature does not hold.",
        "合作方节点不接受我方：它不认识我方身份，或身份签名无效。",
        "Send the partner our current card (psc card); it must run 'psc trust' with it.",
        "请把我方当前名片（psc card）发给合作方，由其运行 psc trust。",
    ),
    "transport.caller-unknown": Text(
        "A caller's certificate belongs to no partner that is pinned here.",
        "来访者的证书不属于本节点固定的任何合作方。",
        "If it should be one, run 'psc trust' with its card.",
        "如果应当信任它，请用其名片运行 psc trust。",
    ),
}

_ENDED: dict[str, Text] = {
    "transport.connection-lost": Text(
        "The connection to the partner broke and could not be mended within {seconds} s ({reason}).",
        "与合作方的连接中断，{seconds} 秒内未能恢复（{reason}）。",
        "Nothing was written. Check the network and start the run again.",
        "没有写出任何结果。请检查网络后重新运行。",
    ),
    "transport.session-unknown": Text(
        "The partner's node no longer has this session: it was restarted, or gave the session up.",
        "合作方节点已没有该会话：它重启过，或已放弃该会话。",
        "Nothing was written. Start the run again.",
        "没有写出任何结果。请重新运行。",
    ),
    "transport.peer-closed": Text(
        "The partner ended its part of the session before all was exchanged.",
        "合作方在交换完成之前结束了会话。",
        "Start the run again; if it happens again, both sides should compare their versions.",
        "请重新运行；如果再次发生，请双方核对版本。",
    ),
    "transport.peer-silent": Text(
        "The partner fell silent in the middle of the session.",
        "合作方在会话中途失去响应。",
        "Nothing was written. The partner can start the run again.",
        "没有写出任何结果。合作方可以重新发起。",
    ),
    "transport.stopping": Text(
        "The session was ended because this node is being stopped.",
        "本节点正在停止，会话已结束。",
        "The partner can start the run again when the node is back.",
        "节点恢复后，合作方可以重新发起。",
    ),
    "transport.cancelled": Text("The run was cancelled.", "运行已取消。"),
    "transport.aborted-here": Text("This side ended the session ({abort_code}).", "本方结束了会话（{abort_code}）。"),
    "transport.link-closed": Text("The connection was closed on this side.", "连接已在本方关闭。"),
    "transport.closed-here": Text(
        "The channel was used after it was closed here.",
        "通道在本方关闭后仍被使用。",
        "This is a bug in psc: please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
    "transport.policy-denied": Text(
        "The partner refused by its rule '{rule}'.",
        "合作方按规则“{rule}”拒绝。",
        "Compare the request with 'psc agreement show', or ask the partner for a wider agreement.",
        "请对照 psc agreement show，或请合作方放宽授权协议。",
    ),
    "transport.not-now": Text("The request was not carried out now ({abort_code}).", "现在不能执行该请求（{abort_code}）。"),
    "transport.internal": Text("Something failed inside.", "内部出错。", "See the log.", "请查看日志。"),
    "transport.interrupted": Text("A call did not get through.", "调用未能送达。"),
    "transport.thread-died": Text(
        "A thread of the channel ended unexpectedly ({where}).",
        "通道线程意外结束（{where}）。",
        "This is a bug in psc: please report it.",
        "这是 psc 的缺陷，请报告。",
    ),
}

_LOOK = ("Ask the partner: its log says more under the same run id.", "请询问合作方：其日志在同一运行编号下有详情。")

_ABORTED: dict[str, Text] = {
    "transport.aborted-unexpected-message": Text(
        "The partner got a message where another belongs, and ended the session.",
        "合作方收到了不该出现的消息，结束了会话。",
        "Compare the versions of psc on both sides.",
        "请核对双方的 psc 版本。",
    ),
    "transport.aborted-malformed-message": Text(
        "The partner could not read a message of ours, and ended the session.",
        "合作方无法解析我方的一条消息，结束了会话。",
        "Compare the versions of psc on both sides.",
        "请核对双方的 psc 版本。",
    ),
    "transport.aborted-invalid-element": Text(
        "The partner got an invalid group element from us, and ended the session.",
        "合作方收到我方的无效群元素，结束了会话。",
        *_LOOK,
    ),
    "transport.aborted-parameter-mismatch": Text(
        "The two sides differ in version, rules, number metadata or parameters; the partner ended the session.",
        "双方的版本、规则、号码元数据或参数不一致，合作方结束了会话。",
        "Run 'psc doctor' against this partner; it shows both sides' versions.",
        "请对该合作方运行 psc doctor，它会列出双方版本。",
    ),
    "transport.aborted-limit-exceeded": Text(
        "What we asked is over a limit of the partner's node.",
        "我方的请求超过了合作方节点的限制。",
        "Ask the partner for its limits; a smaller input may pass.",
        "请询问合作方的限制；较小的输入可能可以通过。",
    ),
    "transport.aborted-replayed": Text(
        "The partner says that a message was repeated with other content, and ended the session.",
        "合作方称某条消息被重复且内容不同，结束了会话。",
        *_LOOK,
    ),
    "transport.aborted-policy-denied": Text("The partner refused by one of its rules.", "合作方按其规则拒绝。", *_LOOK),
    "transport.aborted-not-authenticated": Text(
        "The partner does not accept our identity or a signature of it.",
        "合作方不接受我方身份或其签名。",
        "Send the partner our current card (psc card).",
        "请把我方当前名片（psc card）发给合作方。",
    ),
    "transport.aborted-data-not-ready": Text(
        "The partner's data is not ready: missing, changed or with bad cells.",
        "合作方的数据未就绪：缺失、已改变或含有错误单元格。",
        *_LOOK,
    ),
    "transport.aborted-busy": Text(
        "The partner's node runs as many sessions as it may.",
        "合作方节点的会话数已达上限。",
        "Try again later, or use --wait.",
        "请稍后重试，或使用 --wait。",
    ),
    "transport.aborted-cancelled": Text("The partner cancelled the run.", "合作方取消了运行。"),
    "transport.aborted-peer-silent": Text(
        "The partner heard nothing from us for too long, and gave the session up.",
        "合作方太久没有收到我方消息，放弃了会话。",
        "Check the network and start the run again.",
        "请检查网络后重新运行。",
    ),
    "transport.aborted-stopping": Text(
        "The partner's node is being stopped.",
        "合作方节点正在停止。",
        "Try again when it is back, or use --wait.",
        "请在其恢复后重试，或使用 --wait。",
    ),
    "transport.aborted-no-space": Text(
        "The partner's node could not use its disk or its store.",
        "合作方节点无法使用其磁盘或存储。",
        "Ask the partner to look at its log and its disk, and try again.",
        "请合作方查看其日志与磁盘后重试。",
    ),
    "transport.aborted-internal": Text("Something failed inside the partner's node.", "合作方节点内部出错。", *_LOOK),
}

_VERSIONS = ("Compare the versions of psc on both sides; nothing was written.", "请核对双方的 psc 版本；没有写出任何结果。")

_RULES: dict[str, Text] = {
    "transport.frame-replayed": Text(
        "Frame {number} came again with other content.", "第 {number} 帧再次到达，但内容不同。", *_VERSIONS
    ),
    "transport.replayed-there": Text(
        "The partner's node says that a frame or a hello came to it twice with different content.",
        "合作方节点称同一帧或同一问候两次到达且内容不同。",
        "Something between us altered or repeated what we sent; nothing was written. Start the run again.",
        "中间有设备改动或重放了我方数据；没有写出任何结果。请重新运行。",
    ),
    "transport.session-replayed": Text(
        "A session's number came again with another request.", "会话编号再次出现，但请求不同。", *_VERSIONS
    ),
    "transport.frame-digest": Text("A frame does not have the digest that came with it.", "帧内容与随附摘要不符。", *_VERSIONS),
    "transport.frame-out-of-window": Text(
        "Frame number {number} is far from those that are in flight.", "帧编号 {number} 远离正在传输的范围。", *_VERSIONS
    ),
    "transport.frame-after-close": Text(
        "Frame number {number} does not fit the end that was announced.", "帧编号 {number} 与已宣布的结束不符。", *_VERSIONS
    ),
    "transport.acknowledged-too-much": Text(
        "The partner acknowledged {number} frames, more than were sent.",
        "合作方确认了 {number} 帧，多于已发送的数量。",
        *_VERSIONS,
    ),
    "transport.frame-too-large": Text(
        "A frame of {bytes} bytes came; the limit is {limit_bytes}.", "收到 {bytes} 字节的帧，上限为 {limit_bytes}。", *_VERSIONS
    ),
    "transport.frame-too-large-here": Text(
        "A frame of {bytes} bytes was to be sent; the limit of this session is {limit_bytes}.",
        "要发送 {bytes} 字节的帧，本会话的上限为 {limit_bytes}。",
        "Raise limits.frame_bytes on the side where it is lower.",
        "请在较低的一方提高 limits.frame_bytes。",
    ),
    "transport.window-overrun": Text(
        "{count} frames came in one call; the limit is {limit}.", "一次调用收到 {count} 帧，上限为 {limit}。", *_VERSIONS
    ),
    "transport.too-many-frames": Text(
        "The other end put {count} frames into one call; at most {limit} belong there.",
        "对端在一次调用中放入 {count} 个帧，最多允许 {limit} 个。",
        "The session was ended; give the partner the run id.",
        "会话已结束；请将运行编号告知合作方。",
    ),
    "transport.message-too-large": Text(
        "A message is larger than the limit of whoever received it.",
        "消息超过了接收方的上限。",
        "Compare limits.message_bytes on both sides.",
        "请核对双方的 limits.message_bytes。",
    ),
    "transport.request-malformed": Text("A call of {call} could not be read.", "无法解析 {call} 调用。", *_VERSIONS),
    "transport.reply-malformed": Text(
        "The partner's answer to {call} could not be read.", "无法解析合作方对 {call} 的应答。", *_VERSIONS
    ),
    "transport.odd-status": Text(
        "The partner's node answered with a status that no psc node gives ({status}).",
        "合作方节点返回了 psc 节点不会给出的状态（{status}）。",
        *_VERSIONS,
    ),
}

TEXTS: dict[str, Text] = {**_REACH, **_TRUST, **_ENDED, **_ABORTED, **_RULES}
