"""Texts of policy and audit: agreements, the rules that refuse, quotas, receipts."""

from psc.texts._text import Text

_AGREEMENTS: dict[str, Text] = {
    "policy.agreement-file-missing": Text(
        "There is no agreement file {file}.",
        "找不到授权协议文件 {file}。",
        "Check the path; the owner of the data writes the file: psc agreement show ID --output FILE.",
        "请检查路径；文件由数据所有方写出：psc agreement show 编号 --output 文件。",
    ),
    "policy.agreement-malformed": Text(
        "{file} is not an agreement of psc: its part {where} is missing or wrong.",
        "{file} 不是 psc 授权协议：其中 {where} 缺失或有误。",
        "Ask the partner to write the file again: psc agreement show ID --output FILE.",
        "请合作方重新写出文件：psc agreement show 编号 --output 文件。",
    ),
    "policy.agreement-not-json": Text(
        "{file} is not an agreement of psc: it is not JSON.",
        "{file} 不是 psc 授权协议：它不是 JSON。",
        "Ask the partner to write the file again: psc agreement show ID --output FILE.",
        "请合作方重新写出文件：psc agreement show 编号 --output 文件。",
    ),
    "policy.agreement-signature-wrong": Text(
        "In the agreement {file} the signature of {name} is wrong.",
        "授权协议 {file} 中 {name} 的签名有误。",
        "The document was changed after it was signed: ask the partner for it again.",
        "文件在签署后被改动：请合作方重新发送。",
    ),
    "policy.agreement-stranger": Text(
        "The agreement {file} carries a signature of {identity}, which is neither of its parties.",
        "授权协议 {file} 带有 {identity} 的签名，但它不是授权协议任何一方。",
        "Ask the partner for a clean copy.",
        "请合作方提供正确的副本。",
    ),
    "policy.agreement-tampered": Text(
        "The stored agreement {id} was changed after it was signed; it allows nothing.",
        "存储的授权协议 {id} 在签署后被改动，不再授予任何权限。",
        "Find out who has access to this home; restore the store from a backup.",
        "请查明谁能访问此主目录，并从备份恢复存储。",
    ),
    "policy.agreement-unknown": Text(
        "There is no agreement {id}.", "没有编号为 {id} 的授权协议。", "See psc agreement list.", "请查看 psc agreement list。"
    ),
    "policy.agreement-id-taken": Text(
        "Another agreement with the id {id} is stored.",
        "已存储另一份编号为 {id} 的授权协议。",
        "Its terms differ: the owner must propose a new one instead of changing it.",
        "条款不同：数据所有方须另行提议，而不是修改原文件。",
    ),
    "policy.agreement-ended": Text(
        "The agreement {id} was revoked; it cannot be signed.",
        "授权协议 {id} 已撤销，不能签署。",
        "Propose a new one.",
        "请重新提议。",
    ),
    "policy.agreement-old-identity": Text(
        "The agreement {id} names an identity that this node has replaced.",
        "授权协议 {id} 使用了本节点已更换的身份。",
        "The owner of the data proposes it anew, after both have trusted the present cards.",
        "双方信任当前名片后，由数据所有方重新提议。",
    ),
    "policy.agreement-not-proposed-here": Text(
        "The agreement {file} names this node as owner of the data, but was not proposed here.",
        "授权协议 {file} 称本节点为数据所有方，但并非由本节点提议。",
        "Only the owner proposes: psc agreement propose.",
        "只能由所有方提议：psc agreement propose。",
    ),
    "policy.agreement-not-ours": Text(
        "The agreement {file} is for {partner}, not for this node.",
        "授权协议 {file} 是给 {partner} 的，不是给本节点的。",
        "Ask the owner for the one that names this node's present card.",
        "请向所有方索取写明本节点当前名片的授权协议。",
    ),
    "policy.agreement-owner-unknown": Text(
        "The agreement {file} comes from {owner}, under an identity that is not pinned here.",
        "授权协议 {file} 来自 {owner}，其身份未在本节点固定。",
        "First trust the owner's present card: psc trust CARD_FILE.",
        "请先信任所有方的当前名片：psc trust 名片文件。",
    ),
    "policy.agreement-unsigned": Text(
        "The agreement {file} is not signed by {owner}, the owner of the data.",
        "授权协议 {file} 未由数据所有方 {owner} 签署。",
        "Ask the owner to sign it: psc agreement sign ID.",
        "请所有方签署：psc agreement sign 编号。",
    ),
    "policy.key-not-registered": Text(
        "The dataset {dataset} has no key {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有键 {name}；已登记：{known:|尚无}。",
        "Name a registered key, or register the dataset with it: psc dataset add {dataset} --replace --key {name}=COLUMN:KIND.",
        "请选用已登记的键，或重新登记数据集：psc dataset add {dataset} --replace --key {name}=列:类型。",
    ),
    "policy.column-not-registered": Text(
        "The dataset {dataset} has no releasable column {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有可提供的列 {name}；已登记：{known:|尚无}。",
        "Name a registered column, or register the dataset with it: psc dataset add {dataset} --replace --release {name}:TYPE.",
        "请选用已登记的列，或重新登记数据集：psc dataset add {dataset} --replace --release {name}:类型。",
    ),
    "policy.release-without-match": Text(
        "The columns {columns} cannot be released by {operations}: only match returns columns.",
        "{operations} 不能提供列 {columns}：只有 match 会返回列。",
        "Allow match too (--allow match,count), or leave --release out.",
        "请同时允许 match（--allow match,count），或去掉 --release。",
    ),
    "policy.value-not-registered": Text(
        "The dataset {dataset} has no value {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有数值列 {name}；已登记：{known:|尚无}。",
        "Name a registered value, or register the dataset with it: psc dataset add {dataset} --replace --value "
        "{name}:int64:LOW..HIGH.",
        "请选用已登记的数值列，或重新登记数据集：psc dataset add {dataset} --replace --value {name}:int64:最小值..最大值。",
    ),
    "policy.group-not-registered": Text(
        "The dataset {dataset} has no group column {name}; registered: {known:|none yet}.",
        "数据集 {dataset} 没有分组列 {name}；已登记：{known:|尚无}。",
        "Name a registered column, or register the dataset with it: psc dataset add {dataset} --replace --group {name}=COLUMN.",
        "请选用已登记的分组列，或重新登记数据集：psc dataset add {dataset} --replace --group {name}=列。",
    ),
    "policy.terms-without-aggregate": Text(
        "{terms} means nothing to {operations}: only aggregate uses it.",
        "{terms} 对 {operations} 没有意义：只有 aggregate 会用到。",
        "Allow aggregate too (--allow aggregate), or leave it out.",
        "请同时允许 aggregate（--allow aggregate），或去掉该项。",
    ),
    "policy.terms-without-model": Text(
        "{terms} can never be used: with --model malicious a match returns no columns, and only the asking side gets its result.",
        "{terms} 永远用不到：--model malicious 下，匹配不返回列，且结果只给请求方。",
        "Leave it out, or propose --model semi-honest; --model malicious goes with --allow match and --output-to receiver.",
        "请去掉该项，或改用 --model semi-honest；--model malicious 须配合 --allow match 与 --output-to receiver。",
    ),
    "policy.rows-above-registered": Text(
        "{value} rows per key are more than the {registered} that {dataset} is registered with.",
        "每键 {value} 行超过数据集 {dataset} 登记的 {registered} 行。",
        "Offer fewer, or register the dataset with a higher --max-rows-per-key.",
        "请减少行数，或以更大的 --max-rows-per-key 登记数据集。",
    ),
    "policy.terms-wrong": Text(
        "The terms do not fit together at {where}: {problem}.",
        "条款在 {where} 处有误：{problem}。",
        "Change the option of psc agreement propose that sets it, for instance --min-input 1000 --max-input 100000.",
        "请修改设置它的 psc agreement propose 选项，例如 --min-input 1000 --max-input 100000。",
    ),
}

_RULES: dict[str, Text] = {
    "policy.denied-partner-unknown": Text(
        "The caller is no partner of this node.",
        "请求方不是本节点的合作方。",
        "Pin its card: psc trust CARD_FILE.",
        "请固定其名片：psc trust 名片文件。",
    ),
    "policy.denied-no-agreement": Text(
        "There is no agreement in force with this partner.",
        "与该合作方没有生效的授权协议。",
        "The owner of the data makes one: psc agreement propose, then sign.",
        "由数据所有方提议并签署：psc agreement propose、sign。",
    ),
    "policy.denied-agreement-not-signed": Text(
        "The agreement {agreement} is a draft: the owner of the data has not signed it.",
        "授权协议 {agreement} 仍是草稿：数据所有方尚未签署。",
        "The owner signs it: psc agreement sign {agreement}.",
        "请所有方签署：psc agreement sign {agreement}。",
    ),
    "policy.denied-agreement-not-yet-valid": Text(
        "The agreement {agreement} is valid from {valid_from} on.",
        "授权协议 {agreement} 自 {valid_from} 起生效。",
        "Wait until then, or compare the clocks.",
        "请等待生效，或核对时钟。",
    ),
    "policy.denied-agreement-expired": Text(
        "The agreement {agreement} ended at {valid_until}.",
        "授权协议 {agreement} 已于 {valid_until} 到期。",
        "The owner of the data proposes a new one.",
        "请数据所有方重新提议。",
    ),
    "policy.denied-agreement-revoked": Text(
        "The agreement {agreement} was revoked.",
        "授权协议 {agreement} 已撤销。",
        "The owner of the data proposes a new one.",
        "请数据所有方重新提议。",
    ),
    "policy.denied-agreement-changed": Text(
        "The agreement on {dataset} that the plan showed is not there any more.",
        "计划所依据的 {dataset} 授权协议已不存在。",
        "Plan again and look at the terms.",
        "请重新制定计划并查看条款。",
    ),
    "policy.denied-purpose-not-allowed": Text(
        "The purpose {purpose} is not agreed; agreed: {allowed:|nothing}.",
        "用途 {purpose} 未经约定；已约定：{allowed:|无}。",
        "Name an agreed purpose, or agree on this one.",
        "请使用已约定的用途，或就此用途达成授权协议。",
    ),
    "policy.denied-dataset-not-granted": Text(
        "No agreement grants the dataset {dataset}.",
        "没有授权协议授予数据集 {dataset}。",
        "Granted: {granted:|see psc doctor PARTNER}. For another, ask the owner of the data to propose an agreement.",
        "已授权：{granted:|见 psc doctor 合作方}。如需其他数据集，请数据所有方提议。",
    ),
    "policy.denied-dataset-changed": Text(
        "The dataset {dataset} has another version than the plan showed.",
        "数据集 {dataset} 的版本与计划不同。",
        "Plan again.",
        "请重新制定计划。",
    ),
    "policy.denied-operation-not-allowed": Text(
        "{operation} on {dataset} is not agreed; agreed: {allowed:|nothing}.",
        "未约定对 {dataset} 执行 {operation}；已约定：{allowed:|无}。",
        "Use an agreed operation, or agree on this one.",
        "请使用已约定的操作，或就此达成授权协议。",
    ),
    "policy.denied-key-not-granted": Text(
        "Matching on {keys} is not agreed; agreed: {allowed:|nothing}.",
        "未约定以 {keys} 匹配；已约定：{allowed:|无}。",
        "Write --key NAME=COLUMN, each agreed key once: its name as above, without its kind, and the own column; for instance "
        "--key phone=COLUMN.",
        "请写 --key 名称=列，每个已约定的键一次：用上述名称（不带类型）和本方的列；例如 --key phone=列。",
    ),
    "policy.denied-column-not-released": Text(
        "Releasing {columns} is not agreed for this operation; agreed: {allowed:|nothing}.",
        "未约定在此操作中提供 {columns}；已约定：{allowed:|无}。",
        "Want agreed columns, each once.",
        "请只索取已约定的列，每列一次。",
    ),
    "policy.denied-value-not-granted": Text(
        "Aggregating the values {values} is not agreed for this operation; agreed: {allowed:|none}.",
        "未约定在此操作中汇总数值列 {values}；已约定：{allowed:|无}。",
        "Use agreed values, each as above: name, decimals, range. The owner grants others with psc agreement propose --value.",
        "请使用已约定的数值列（名称、小数位、范围如上）。其他数值列由数据所有方以 psc agreement propose --value 授予。",
    ),
    "policy.denied-group-not-granted": Text(
        "Grouping by {groups} is not agreed for this operation; agreed: {allowed:|none}.",
        "未约定在此操作中按 {groups} 分组；已约定：{allowed:|无}。",
        "Group by agreed columns, each once. The owner grants others with psc agreement propose --group.",
        "请按已约定的列分组，每列一次。其他分组列由数据所有方以 psc agreement propose --group 授予。",
    ),
    "policy.denied-membership-not-allowed": Text(
        "It is not agreed that membership is {membership:=hidden hidden from both sides|owner known to the value owner|"
        "matcher known to the asking side}; agreed: {allowed:|nothing}.",
        "未约定{membership:=hidden 对双方隐藏成员关系|owner 由数值所有方得知成员关系|matcher 由请求方得知成员关系}；"
        "已约定：{allowed:|无}。",
        "Ask in an agreed way: hidden, owner or matcher. The owner of the data grants another with psc agreement propose "
        "--membership.",
        "请使用已约定的方式（hidden、owner 或 matcher）。其他方式由数据所有方以 psc agreement propose --membership 授予。",
    ),
    "policy.denied-engine-not-allowed": Text(
        "The encryption {engine} is not agreed for the values; agreed: {allowed:|none}.",
        "未约定以加密引擎 {engine} 加密数值；已约定：{allowed:|无}。",
        "Ask with an agreed engine. The owner of the data grants others with psc agreement propose --engine.",
        "请使用已约定的加密引擎。其他引擎由数据所有方以 psc agreement propose --engine 授予。",
    ),
    "policy.denied-output-not-allowed": Text(
        "Output to {output_to} is not agreed for this operation; agreed: {allowed:|nothing}.",
        "未约定在此操作中把结果给{output_to:=receiver 发起方|responder 应答方|both 双方}；已约定：{allowed:|无}。",
        "Ask for an agreed output.",
        "请使用已约定的输出方式。",
    ),
    "policy.denied-model-too-weak": Text(
        "The agreement demands a match that withstands a {model} partner; this one is {asked}.",
        "授权协议要求匹配能抵御{model:=semi-honest 半诚实|malicious 恶意}对方；"
        "本次为{asked:=semi-honest 半诚实|malicious 恶意}模型。",
        "Match without columns, with the result to this side alone, and leave the protocol to psc (--protocol auto).",
        "请不要求列、结果仅给本方，并由 psc 选择密码协议（--protocol auto）。",
    ),
    "policy.denied-input-too-small": Text(
        "The {side}'s {size} distinct {size:?key is|keys are} fewer than the agreed minimum of {min_input}.",
        "{side:=initiator 发起方|responder 应答方}有 {size} 个不同键，少于约定的最小值 {min_input}。",
        "Small sets tell too much about single people. Ask with more rows, or agree on a lower minimum.",
        "过小的集合会暴露个人信息。请使用更多行，或约定更低的最小值。",
    ),
    "policy.denied-input-too-large": Text(
        "{size} distinct keys are more than the agreed maximum of {max_input}.",
        "{size} 个不同键超过约定的最大值 {max_input}。",
        "Ask with fewer rows, or agree on a higher maximum.",
        "请减少行数，或约定更高的最大值。",
    ),
    "policy.denied-result-too-small": Text(
        "The result has fewer common keys than the agreed minimum of {min_result}; it is withheld.",
        "共同键少于约定的最小值 {min_result}，结果不予提供。",
        "The run stays charged. Ask with more rows, or agree on a lower minimum.",
        "本次运行仍计入配额。请使用更多行，或约定更低的最小值。",
    ),
    "policy.denied-runs-per-day": Text(
        "The {runs_per_day} runs a day on {dataset} are used up; the quota is renewed at {renews_at}.",
        "数据集 {dataset} 每日 {runs_per_day} 次运行已用完；配额于 {renews_at} 恢复。",
        "Wait, or agree on more.",
        "请等待，或约定更多次数。",
    ),
    "policy.denied-elements-per-day": Text(
        "Of the {elements_per_day} elements a day on {dataset} only {left} are left; the quota is renewed at {renews_at}.",
        "数据集 {dataset} 每日 {elements_per_day} 个元素的配额仅剩 {left}；配额于 {renews_at} 恢复。",
        "Ask with fewer rows, wait, or agree on more.",
        "请减少行数、等待，或约定更多。",
    ),
}

_RECEIPTS: dict[str, Text] = {
    "audit.receipt-malformed": Text(
        "{file} is not a receipt of psc: its part {where} is missing or wrong.",
        "{file} 不是 psc 回执：其中 {where} 缺失或有误。",
        "Export it again: psc runs export RUN --receipt FILE.",
        "请重新导出：psc runs export 运行编号 --receipt 文件。",
    ),
    "audit.receipt-not-json": Text(
        "{file} is not a receipt of psc: it is not JSON.",
        "{file} 不是 psc 回执：它不是 JSON。",
        "Export it again: psc runs export RUN --receipt FILE.",
        "请重新导出：psc runs export 运行编号 --receipt 文件。",
    ),
    "audit.receipt-signature-wrong": Text(
        "The receipt of run {run_id} does not verify: the signature of the {side} {name} is wrong.",
        "运行 {run_id} 的回执无法通过验证：{side:=initiator 发起方|responder 应答方} {name} 的签名有误。",
        "It was changed after it was signed; compare with the other party's copy.",
        "回执在签署后被改动；请与对方的副本核对。",
    ),
    "audit.receipt-party-unknown": Text(
        "The {side} {name} of run {run_id} has the identity {identity}, which is not pinned here.",
        "运行 {run_id} 的 {side:=initiator 发起方|responder 应答方} {name} 的身份为 {identity}，未在此固定。",
        "Trust its card, then verify again.",
        "请信任其名片后重新验证。",
    ),
}

_RELEASES: dict[str, Text] = {
    "policy.table-too-large": Text(
        "The group columns make {combinations} combinations of labels; at most {limit} are possible.",
        "分组列共有 {combinations} 种标签组合，最多允许 {limit} 种。",
        "Group by fewer columns, or by coarser ones.",
        "请减少分组列，或使用更粗的分组。",
    ),
    "policy.table-too-deep": Text(
        "With {cells} cells on {columns} group columns it would take too long to find what small groups give away.",
        "{cells} 个单元格、{columns} 个分组列时，查找会泄露小组信息的单元格耗时过长。",
        "Group by fewer columns, or by coarser ones.",
        "请减少分组列，或使用更粗的分组。",
    ),
    "policy.too-many-dummies": Text(
        "Noise on counts takes {dummies} dummies for each of {cells} {cells:?cell|cells}; at most {limit} in all are possible.",
        "计数噪声需要为 {cells} 个单元格各加入 {dummies} 个虚拟条目，总数最多 {limit} 个。",
        "Group by fewer columns, ask for fewer numbers in one run, or agree on a larger noise budget.",
        "请减少分组列、减少单次运行的统计项，或约定更大的噪声预算。",
    ),
}

TEXTS: dict[str, Text] = {**_AGREEMENTS, **_RULES, **_RECEIPTS, **_RELEASES}
