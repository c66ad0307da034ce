(() => {
  // Called from events of the page; counts code points, as the server does.
  window.countCharacters = (text) => {
    const counter = document.querySelector("#counter");
    if (!counter) return;
    const count = [...(text ?? "")].length;
    const limit = Number(counter.dataset.limit);
    const over = count > limit;
    counter.textContent =
      `${count.toLocaleString("en")} of ${limit.toLocaleString("en")} characters` + (over ? ": too long" : "");
    counter.classList.toggle("page-over", over);
  };

  // A text that is too long is refused, so there is no need to send all of it.
  window.cutText = (text) => {
    const limit = Number(document.querySelector("#counter").dataset.limit);
    return text.length > limit ? [...text].slice(0, limit + 1).join("") : text;
  };

  window.saveFile = (file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file.content], { type: file.type }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest?.("#text")) {
      event.preventDefault();
      document.querySelector("#find")?.click();
    }
  });
})();
