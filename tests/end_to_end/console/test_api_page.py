"""The page of the HTTP API in a browser: no part is another host's, and requests work."""

from playwright.async_api import expect

from tests.end_to_end.api.conftest import new_key


async def test_operations_are_read_and_tried_without_another_host(browser, gateway, prepared):
    context = await browser.new_context(reduced_motion="reduce")
    page = await context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    await page.goto(f"{gateway.address}/docs#/users/listUsers")
    operation = page.locator("#operations-users-listUsers")
    await expect(operation.get_by_text("Users, newest first.")).to_be_visible()

    await page.get_by_role("button", name="Authorize", exact=True).click()
    await page.get_by_label("auth-bearer-value").fill(await new_key(prepared, "read"))
    await page.get_by_role("button", name="Apply credentials").first.click()
    await page.get_by_role("button", name="Close").first.click()

    await operation.get_by_role("button", name="Try it out").click()
    await operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response-col_status").last
    await expect(answer).to_contain_text("200")
    await context.close()
    assert {
        url for url in asked if not url.startswith((gateway.address, "data:", "blob:"))
    } == set()
    assert complaints == []
