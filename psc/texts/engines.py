"""Texts of the optional homomorphic engines."""

from psc.texts._text import Text

_BUG_EN = "This is a bug in the calling code; please report it."
_BUG_ZH = "这是调用代码的缺陷，请报告。"
_PEER_EN = "The run was ended; ask the partner which software and version it runs."
_PEER_ZH = "本次运行已结束；请向对方确认其软件及版本。"

TEXTS: dict[str, Text] = {
    "engines.unknown": Text(
        en="There is no engine {engine}; there are {known}.",
        zh="没有名为 {engine} 的加密引擎；可用的有 {known}。",
        fix_en="Name one of these.",
        fix_zh="请指定其中之一。",
    ),
    "engines.extra-missing": Text(
        en="The engine {engine} needs {package}, which is not installed.",
        zh="加密引擎 {engine} 需要 {package}，但尚未安装。",
        fix_en="Run: pip install 'psc[{extra}]'",
        fix_zh="请运行：pip install 'psc[{extra}]'",
    ),
    "engines.shows-members": Text(
        en="The engine {engine} would show the owner of the values which of its customers match.",
        zh="加密引擎 {engine} 会向数值所有方显示其哪些客户匹配。",
        fix_en="Take {engines}; or, if the agreement allows it, --membership owner, which needs no engine.",
        fix_zh="请使用 {engines}；或在授权协议允许时使用 --membership owner，此时无需引擎。",
    ),
    "engines.length": Text(
        en="{what}: {length_bytes} bytes came where {expected_bytes} belong.",
        zh="{what}：收到 {length_bytes} 字节，应为 {expected_bytes} 字节。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "engines.malformed": Text(
        en="{what} of the partner is not built as it must be: {reason}.",
        zh="对方的 {what} 结构有误：{reason}。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "engines.other-parameters": Text(
        en="{what} of the partner belongs to other parameters: {reason}.",
        zh="对方的 {what} 使用了其他参数：{reason}。",
        fix_en="Both sides must name the same engine and use versions of it that fit together.",
        fix_zh="双方须指定同一加密引擎，且其版本须相互兼容。",
    ),
    "engines.key-refused": Text(
        en="The public key is refused: {reason}.",
        zh="公钥被拒绝：{reason}。",
        fix_en="The partner must make a proper key of 2048, 3072 or 4096 bits; nothing was computed with this one.",
        fix_zh="对方须生成 2048、3072 或 4096 位的合规密钥；未用此密钥做任何计算。",
    ),
    "engines.ciphertext-refused": Text(
        en="Ciphertext {index} (counted from 0) is refused: {reason}.",
        zh="第 {index} 个密文（从 0 起数）被拒绝：{reason}。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "engines.too-many-releases": Text(
        en="{count} sums were asked of one key; at most {limit} are released.",
        zh="对同一密钥请求了 {count} 个求和结果；最多释放 {limit} 个。",
        fix_en="Use further keys for further sums.",
        fix_zh="更多的求和请使用更多的密钥。",
    ),
    "engines.used-up": Text(
        en="{what} was used already; it serves once.",
        zh="{what} 已被使用；只能使用一次。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "engines.overflow": Text(
        en="Sums of {positions} values with weights up to {weight} are too large for the engine {engine}.",
        zh="{positions} 个值（权重至多 {weight}）的求和超出加密引擎 {engine} 的范围。",
        fix_en="Use fewer values or smaller weights in one run.",
        fix_zh="请减少单次运行的值数或减小权重。",
    ),
    "engines.argument": Text(
        en="{what}: {given} was given where {wanted} is needed.",
        zh="{what}：给出 {given}，需要 {wanted}。",
        fix_en=_BUG_EN,
        fix_zh=_BUG_ZH,
    ),
    "engines.phe-exponent": Text(
        en="Row {row} (counted from 0) was encrypted at exponent {exponent}; exponent {wanted} cannot hold it exactly.",
        zh="第 {row} 行（从 0 起数）以指数 {exponent} 加密，无法精确调整为指数 {wanted}。",
        fix_en="Encrypt integers at one scale: the amount in cents, say, rather than a float.",
        fix_zh="请以统一的尺度加密整数，例如以分为单位的金额，而不是浮点数。",
    ),
    "engines.phe-other-key": Text(
        en="Row {row} (counted from 0) was encrypted under another key.",
        zh="第 {row} 行（从 0 起数）以另一密钥加密。",
        fix_en="Encrypt all rows of one sum under one key.",
        fix_zh="同一求和的各行须以同一密钥加密。",
    ),
    "engines.key-owner-only": Text(
        en="A decrypted CKKS result stays with the owner of the key; it cannot be sent, stored or turned into an array.",
        zh="CKKS 的解密结果只属于密钥持有方；不能发送、保存或转换为数组。",
        fix_en="Its noise would give the key away to who computed the sum. Use an exact engine for what leaves this side.",
        fix_zh="其噪声会向计算方泄露密钥。需要发出的结果请使用精确的加密引擎。",
    ),
    "engines.worker-crashed": Text(
        en="The process that read the partner's {what} was ended by {cause}; this process is unharmed.",
        zh="读取对方 {what} 的进程因 {cause} 终止；本进程未受影响。",
        fix_en=_PEER_EN,
        fix_zh=_PEER_ZH,
    ),
    "engines.worker-slow": Text(
        en="Reading the partner's {what} took longer than {seconds} s and was stopped.",
        zh="读取对方的 {what} 超过 {seconds} 秒，已停止。",
        fix_en="If this machine is busy, try again; else ask the partner which software and version it runs.",
        fix_zh="若本机繁忙请重试；否则请向对方确认其软件及版本。",
    ),
    "engines.worker-failed": Text(
        en="The helper process of the engine failed: {reason}.",
        zh="加密引擎的辅助进程失败：{reason}。",
        fix_en="Check that this Python can start itself and has enough memory.",
        fix_zh="请检查此 Python 能否自行启动，且内存充足。",
    ),
}
