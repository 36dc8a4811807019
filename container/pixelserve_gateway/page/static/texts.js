// The pages' texts in both languages, and which one is shown. An element with data-text="key" holds that text.
const TEXTS = {
  en: {
    playground: "Playground",
    explorer: "API explorer",
    pages: "Pages",
    about: "Trying it out",
    dark: "Dark",
    other_language: "中文",
    feature: "Feature",
    picture: "Picture",
    first_picture: "First picture",
    second_picture: "Second picture",
    drop: "Drop a picture here, or choose one",
    no_preview: "No preview of this format here",
    options: "Options",
    size: "Size",
    target_2k: "to 2K (about 4 megapixels)",
    target_4k: "to 4K (about 17 megapixels)",
    format: "Format",
    quality: "Quality (1 to 100)",
    cut: "Answer",
    cut_foreground: "People cut out, with alpha",
    cut_alpha: "Alpha alone, as a grey picture",
    key: "API key",
    key_help: "Calls here need a key. It is kept in this page only, and forgotten when you leave.",
    iam: "Calls here need a signature of AWS (Signature Version 4), which a web page cannot make without your secret key. Use the request below with your credentials.",
    run: "Run",
    cancel: "Cancel",
    result: "Result",
    nothing_yet: "Choose a picture and press Run.",
    sending: "Sending: {percent} %",
    working: "Working: {seconds} s",
    queued: "Waiting for its turn: {seconds} s",
    computing: "Computing: {percent} %, {seconds} s",
    estimated: "Computing: about {percent} % (estimated), {seconds} s",
    receiving: "Receiving: {percent} %",
    done: "Done in {seconds} s",
    canceled: "Canceled",
    failed: "Failed",
    slider: "Before and after: how much of the old picture is shown",
    before: "Before",
    after: "After",
    actual: "Actual size, pixel by pixel",
    stage: "Before and after, to scroll",
    download: "Save the picture",
    facts: "{width} × {height} pixels, {bytes}, {seconds} s",
    alike: "How alike they are",
    similarity: "{percent} % alike",
    cosine: "Cosine of the two vectors: {cosine}. Similarity is 0.5 + 0.5 × cosine, so pictures that have nothing in common come to about 50 %.",
    request: "This request",
    copy: "Copy",
    copied: "Copied",
    language: "Language of the sample",
    costs: "What a million such calls a month cost",
    costs_job: "Nearest in the table: pictures of {megapixels} megapixels{detail}.",
    costs_mode: "Mode",
    costs_amount: "{currency} a million",
    costs_about:
      "Estimated in {region} with the price book {book}, API Gateway and traffic to the internet included. Endpoints and batch transform: CPU times measured on two cores, priced as {instance}. Lambda and serverless: the times of AWS's documents. What cannot run such calls is left out.",
    realtime: "Real-time endpoint, always on",
    autoscaled: "Real-time endpoint, autoscaled",
    async: "Asynchronous endpoint, scaled to zero",
    serverless: "Serverless inference",
    lambda: "Lambda",
    batch: "Batch transform",
    cheapest: "cheapest",
    request_id: "Request {id}",
    status: "HTTP {status}",
    hint_unreachable: "Check that the gateway runs and that you are connected, then press Run again.",
    hint_unauthorized: "Enter a valid API key. `pixelserve keys` makes one.",
    hint_large: "Choose a smaller picture, a smaller size, or the format JPEG or WebP.",
    hint_format: "Choose a PNG, JPEG or WebP picture that opens in a viewer.",
    hint_wait: "Press Run again in {seconds} s.",
    hint_again: "Press Run again. If it stays, look for the request's id in the gateway's log.",
    hint_change: "Change what the message names, then press Run again.",
    unreachable: "The gateway did not answer.",
    explorer_off_key:
      "Try it out is off: calls need an API key, which this page does not ask for. The playground has a field for it; elsewhere send it as the header x-api-key.",
    explorer_off_iam:
      "Try it out is off: calls need a signature of AWS (Signature Version 4), which a web page cannot make without your secret key. Use cURL with --aws-sigv4, Postman, or an AWS SDK; the playground shows samples.",
  },
  zh: {
    playground: "体验页",
    explorer: "API 浏览器",
    pages: "页面",
    about: "关于试用",
    dark: "深色",
    other_language: "English",
    feature: "功能",
    picture: "图片",
    first_picture: "第一张图片",
    second_picture: "第二张图片",
    drop: "将图片拖到这里，或点击选择",
    no_preview: "此格式无法在这里预览",
    options: "选项",
    size: "尺寸",
    target_2k: "放大到 2K（约 400 万像素）",
    target_4k: "放大到 4K（约 1700 万像素）",
    format: "格式",
    quality: "质量（1 到 100）",
    cut: "返回内容",
    cut_foreground: "抠出的人像（带透明度）",
    cut_alpha: "仅透明度图（灰度）",
    key: "API 密钥",
    key_help: "此处的调用需要密钥。密钥只保存在本页中，离开后即被清除。",
    iam: "此处的调用需要 AWS 签名（Signature Version 4），网页没有您的私有密钥，无法签名。请使用下方的请求示例和您自己的凭证。",
    run: "运行",
    cancel: "取消",
    result: "结果",
    nothing_yet: "请选择图片，然后点击“运行”。",
    sending: "正在上传：{percent} %",
    working: "正在处理：{seconds} 秒",
    queued: "正在排队：{seconds} 秒",
    computing: "正在计算：{percent} %，{seconds} 秒",
    estimated: "正在计算：约 {percent} %（估计值），{seconds} 秒",
    receiving: "正在接收：{percent} %",
    done: "完成，用时 {seconds} 秒",
    canceled: "已取消",
    failed: "失败",
    slider: "前后对比：显示多少原图",
    before: "处理前",
    after: "处理后",
    actual: "实际像素大小",
    stage: "前后对比，可滚动",
    download: "保存图片",
    facts: "{width} × {height} 像素，{bytes}，{seconds} 秒",
    alike: "相似程度",
    similarity: "相似度 {percent} %",
    cosine: "两个特征向量的余弦值：{cosine}。相似度 = 0.5 + 0.5 × 余弦值，因此毫不相关的图片约为 50 %。",
    request: "本次请求",
    copy: "复制",
    copied: "已复制",
    language: "示例语言",
    costs: "每月一百万次这样的调用的费用",
    costs_job: "表中最接近的情形：{megapixels} 百万像素的图片{detail}。",
    costs_mode: "部署方式",
    costs_amount: "{currency} / 百万次",
    costs_about:
      "按区域 {region} 与价格表 {book} 估算，包含 API Gateway 与公网流量。终端节点与批量转换：在两个 CPU 核心上实测的时间，按 {instance} 计价；Lambda 与无服务器推理：采用 AWS 文档中的时间。无法承担此类调用的方式未列出。",
    realtime: "实时终端节点，始终运行",
    autoscaled: "实时终端节点，自动伸缩",
    async: "异步终端节点，可缩容到零",
    serverless: "无服务器推理",
    lambda: "Lambda",
    batch: "批量转换",
    cheapest: "最低",
    request_id: "请求 {id}",
    status: "HTTP {status}",
    hint_unreachable: "请检查网关是否在运行、网络是否连通，然后再次点击“运行”。",
    hint_unauthorized: "请输入有效的 API 密钥，可用 `pixelserve keys` 创建。",
    hint_large: "请选择更小的图片、更小的尺寸，或使用 JPEG、WebP 格式。",
    hint_format: "请选择可正常打开的 PNG、JPEG 或 WebP 图片。",
    hint_wait: "请在 {seconds} 秒后再次点击“运行”。",
    hint_again: "请再次点击“运行”。如仍失败，请凭请求编号查看网关日志。",
    hint_change: "请按提示修改后再次点击“运行”。",
    unreachable: "网关没有响应。",
    explorer_off_key:
      "“Try it out”已关闭：调用需要 API 密钥，本页不收集密钥。体验页中有密钥输入框；在其他客户端中请以 x-api-key 请求头发送。",
    explorer_off_iam:
      "“Try it out”已关闭：调用需要 AWS 签名（Signature Version 4），网页没有您的私有密钥，无法签名。请使用带 --aws-sigv4 的 cURL、Postman 或 AWS SDK；体验页提供示例。",
  },
};

let shown = kept() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

function kept() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // storage is refused
  }
}

/** The language that is shown: en or zh. */
export function language() {
  return shown;
}

/** The text of a key, with {names} filled in. */
export function text(key, values = {}) {
  return TEXTS[shown][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Keys that one language has and the other lacks; none, or a test fails. */
export function missingTexts() {
  const [en, zh] = [Object.keys(TEXTS.en), Object.keys(TEXTS.zh)];
  return [...en.filter((key) => !(key in TEXTS.zh)), ...zh.filter((key) => !(key in TEXTS.en))];
}

/** Fills in every text, now and whenever the button #language changes the language; `redraw` does what has values. */
export function showTexts(redraw) {
  const show = () => {
    document.documentElement.lang = shown === "zh" ? "zh-CN" : "en";
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
    for (const element of document.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", text(element.dataset.label));
    }
    document.querySelector("#language").lang = shown === "zh" ? "en" : "zh-CN";
    redraw();
  };
  document.querySelector("#language").addEventListener("click", () => {
    shown = shown === "zh" ? "en" : "zh";
    try {
      localStorage.setItem("language", shown);
    } catch {
      // it holds for this page alone
    }
    show();
  });
  show();
}
